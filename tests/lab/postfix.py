"""A private Postfix: submission with STARTTLS and AUTH, smtps, and LMTP into the lab's Dovecot.

It knows the domain example.org and the users of that Dovecot, takes mail only after a login, and
has no way out: whatever is not for those users is refused at RCPT or has no transport.

    refused@example.org    550 5.7.1, always
    later@example.org      450 4.2.0, always
    bounced@example.org    accepted, and then returned to the sender: Dovecot has no such user
"""

import os
import socket
import subprocess

from lab import process

DOMAIN = "example.org"

MAIN = """
compatibility_level = 3.6
queue_directory = {queue}
data_directory = {data}
maillog_file = {log}
maillog_file_prefixes = {directory}
mail_owner = postfix
setgid_group = postdrop
meta_directory = /etc/postfix
myhostname = mail.example.org
mydestination =
mynetworks =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_peername_lookup = no
smtputf8_enable = yes
alias_maps =
alias_database =
local_recipient_maps =
virtual_mailbox_domains = example.org
virtual_mailbox_maps = texthash:{recipients}
virtual_transport = lmtp:inet:127.0.0.1:{lmtp}
default_transport = error:5.7.1 this server sends nothing outside
relay_transport = error:5.7.1 this server sends nothing outside
local_transport = error:5.7.1 this server has no local users
message_size_limit = {size_limit}
mailbox_size_limit = 0
virtual_mailbox_limit = 0
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:{auth}
smtpd_tls_auth_only = yes
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_client_restrictions = permit_sasl_authenticated, reject
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions =
  check_recipient_access texthash:{access}, reject_unlisted_recipient, permit_sasl_authenticated, reject
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 1000
smtpd_hard_error_limit = 1000
smtpd_client_connection_count_limit = 0
smtpd_client_event_limit_exceptions = static:all
in_flow_delay = 0
# Letters arrive as they were sent: nothing is cut (Bcc!) or added on the way.
message_drop_headers =
local_header_rewrite_clients =
lmtp_destination_recipient_limit = 1
minimal_backoff_time = 1s
maximal_backoff_time = 5s
queue_run_delay = 1s
"""

MASTER = """
127.0.0.1:{smtp} inet n - n - - smtpd -o smtpd_tls_security_level=encrypt
127.0.0.1:{smtps} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

ACCESS = """
refused@example.org 550 5.7.1 no such luck: this recipient refuses everything
later@example.org 450 4.2.0 this recipient is busy, always
"""


class Postfix:
    def __init__(self, directory, dovecot, size_limit=50_000_000):
        self.directory = os.path.join(directory, "postfix")
        self.dovecot = dovecot
        self.size_limit = size_limit
        self.config = os.path.join(self.directory, "config")
        self.queue = os.path.join(self.directory, "queue")
        self.log = os.path.join(self.directory, "log")
        self.ports = {}

    def url(self, protocol, user):
        """smtp://user@localhost:port or smtps://..., ready for mailfs."""
        return f"{protocol}://{user.replace('@', '%40')}@localhost:{self.ports[protocol]}"

    def start(self):
        """Returns when both ports greet. After a stop, the ports are the same as before."""
        for _ in range(5):
            ports = self.ports or {name: process.free_port() for name in ("smtp", "smtps")}
            if self._try_start(ports):
                self.ports = ports
                return self
        raise process.LabError("Postfix does not start:\n" + process.tail(self.log))

    def _try_start(self, ports):
        self._write_config(ports)
        daemon = subprocess.Popen(["postfix", "-c", self.config, "start-fg"], cwd=self.directory,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL, start_new_session=True)
        self._daemon = daemon

        def is_ready():
            return daemon.poll() is not None or (
                greets(ports["smtp"]) and process.is_listening(ports["smtps"]))

        process.wait_until(is_ready, 20, lambda: "Postfix listening\n" + process.tail(self.log))
        return daemon.poll() is None

    def _write_config(self, ports):
        for name in ("config", "queue", "data"):
            os.makedirs(os.path.join(self.directory, name), exist_ok=True)
        os.chmod(self.directory, 0o711)
        process.run(["chown", "postfix", os.path.join(self.directory, "data")])
        recipients = os.path.join(self.config, "recipients")
        access = os.path.join(self.config, "access")
        self._write(recipients, "".join(f"{user}@{DOMAIN} {user}\n" for user in self.dovecot.users)
                    + f"refused@{DOMAIN} refused\nlater@{DOMAIN} later\n"
                    + f"bounced@{DOMAIN} bounced\n")
        self._write(access, ACCESS)
        self._write(os.path.join(self.config, "master.cf"), MASTER.format(**ports))
        self._write(os.path.join(self.config, "main.cf"), MAIN.format(
            directory=self.directory, queue=self.queue, data=os.path.join(self.directory, "data"),
            log=self.log, recipients=recipients, access=access, size_limit=self.size_limit,
            certificate=self.dovecot.certificates.certificate, key=self.dovecot.certificates.key,
            lmtp=self.dovecot.ports["lmtp"], auth=self.dovecot.ports["auth"]))

    @staticmethod
    def _write(path, text):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def stop(self):
        """Ends the server in an orderly way; what does not listen is killed."""
        process.end_inside(self.directory)
        self._reap()

    def kill(self):
        process.kill_inside(self.directory)
        self._reap()

    def _reap(self):
        if getattr(self, "_daemon", None):
            self._daemon.wait(10)


def greets(port):
    """True when a mail server says its 220 there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            return connection.recv(3) == b"220"
    except OSError:
        return False
