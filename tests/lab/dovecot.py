"""A private Dovecot: IMAP, POP3, LMTP and a SASL socket on loopback ports of its own.

Users are `name: password`; `name@any.domain` logs in as the same user. Mail lies in Maildirs under
`home(user)`, owned by the system user `mail`, folders as nested directories (INBOX/, Archive/2025/),
so that a test can put mail there directly.
"""

import os
import pwd
import signal
import subprocess

from lab import process
from lab.certificate import Certificates

PASSWORD = "correct horse"
PORTS = ("imaps", "imap", "pop3s", "pop3", "lmtp", "auth")

CONFIG = """
protocols = imap pop3 lmtp
listen = 127.0.0.1
base_dir = {run}
state_dir = {state}
log_path = {log}
auth_verbose = yes
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
disable_plaintext_auth = no
auth_mechanisms = plain login cram-md5
auth_username_format = %Ln
auth_failure_delay = 0
default_vsz_limit = 0
mail_max_userip_connections = 100000
mail_uid = mail
mail_gid = mail
first_valid_uid = 1
mail_home = {homes}/%n
mail_location = {location}
maildir_stat_dirs = yes
mail_fsync = never
postmaster_address = postmaster@example.org
namespace inbox {{
  inbox = yes
  separator = /
  mailbox Sent {{
    special_use = \\Sent
  }}
  mailbox Trash {{
    special_use = \\Trash
  }}
}}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%n {users}
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={homes}/%n
}}
service imap-login {{
  service_count = 0
  process_min_avail = 1
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service imap {{
  process_limit = 1000
}}
service pop3-login {{
  service_count = 0
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
    ssl = yes
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp}
  }}
}}
service auth {{
  inet_listener sasl {{
    port = {auth}
  }}
}}
service anvil {{
  # Wrong passwords are tested for their answer, not for a growing delay.
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
protocol lmtp {{
  mail_fsync = never
}}
{extra}
"""

# For `extra`: every user has so many MiB, and IMAP tells (RFC 9208).
QUOTA_MIB = 50
QUOTA = f"""
mail_plugins = quota
protocol imap {{
  mail_plugins = quota imap_quota
}}
plugin {{
  quota = count:User quota
  quota_rule = *:storage={QUOTA_MIB}M
  quota_vsizes = yes
}}
"""

LOCATIONS = {
    "maildir": "maildir:~/Maildir:LAYOUT=fs:INBOX=~/Maildir/INBOX",
    "mdbox": "mdbox:~/mdbox",
}


class Dovecot:
    def __init__(self, directory, users=None, storage="maildir", extra=""):
        self.directory = os.path.join(directory, "dovecot")
        self.users = users or {"alice": PASSWORD, "bob": PASSWORD}
        self.storage = storage
        self.extra = extra
        self.log = os.path.join(self.directory, "log")
        os.makedirs(self.directory, exist_ok=True)
        os.chmod(self.directory, 0o711)
        self.certificates = Certificates(os.path.join(directory, "tls"))
        self.ports = {}
        self._config = os.path.join(self.directory, "dovecot.conf")
        self._homes = os.path.join(self.directory, "homes")
        os.makedirs(self._homes, exist_ok=True)
        os.chmod(self._homes, 0o711)
        for user in self.users:
            os.makedirs(self.home(user), exist_ok=True)
            self.give(self.home(user))

    def home(self, user):
        return os.path.join(self._homes, user)

    def maildir(self, user):
        return os.path.join(self.home(user), "Maildir")

    def url(self, protocol, user):
        """imaps://user@localhost:port, ready for mailfs."""
        return f"{protocol}://{user.replace('@', '%40')}@localhost:{self.ports[protocol]}"

    def start(self):
        """Returns when every port answers. After a stop, the ports are the same as before."""
        for _ in range(5):
            ports = self.ports or {name: process.free_port() for name in PORTS}
            if self._try_start(ports):
                self.ports = ports
                return self
        raise process.LabError("Dovecot does not start:\n" + process.tail(self.log))

    def _try_start(self, ports):
        self._write_config(ports)
        # Its own session: a Ctrl-C meant for a test must not end the servers of a demo.
        daemon = subprocess.Popen(["dovecot", "-F", "-c", self._config], cwd=self.directory,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL, start_new_session=True)
        self._daemon = daemon

        def is_ready():
            return daemon.poll() is not None or all(map(process.is_listening, ports.values()))

        process.wait_until(is_ready, 20, lambda: "Dovecot listening\n" + process.tail(self.log))
        return daemon.poll() is None

    def _write_config(self, ports):
        passwords = self._write_passwords()
        with open(self._config, "w", encoding="utf-8") as file:
            file.write(CONFIG.format(
                run=os.path.join(self.directory, "run"), state=os.path.join(self.directory, "state"),
                log=self.log, certificate=self.certificates.certificate, key=self.certificates.key,
                homes=self._homes, location=LOCATIONS[self.storage], users=passwords,
                extra=self.extra, **ports))

    def _write_passwords(self):
        """Renamed into place, so that a running server reads all of it or nothing."""
        path = os.path.join(self.directory, "users")
        with open(path + ".new", "w", encoding="utf-8") as table:
            table.writelines(f"{user}:{{PLAIN}}{secret}\n" for user, secret in self.users.items())
        os.chmod(table.name, 0o600)
        os.chown(table.name, pwd.getpwnam("dovecot").pw_uid, -1)
        os.rename(table.name, path)
        return path

    def change_password(self, user, secret):
        """For logins from now on; sessions that are logged in go on."""
        self.users[user] = secret
        self._write_passwords()
        # It looks at the file once a second at most.
        process.wait_until(
            lambda: self.doveadm("auth", "test", user, secret, check=False).returncode == 0, 10,
            f"the new password of {user}")

    def doveadm(self, *arguments, check=True):
        """The server's own tool, while it runs."""
        return process.run(["doveadm", "-c", self._config, *arguments], check=check)

    def freeze(self):
        """Stops every process where it stands: connections stay, new ones are taken by the kernel,
        and nothing is ever answered, until `thaw`."""
        def running():
            pids = [pid for pid in process.pids_inside(self.directory) if not process.is_stopped(pid)]
            process.send_signal(pids, signal.SIGSTOP)
            return pids

        process.wait_until(lambda: not running(), 10, "a server that stands still")

    def thaw(self):
        process.send_signal(process.pids_inside(self.directory), signal.SIGCONT)

    def stop(self):
        """Ends the server in an orderly way; what does not listen is killed."""
        process.end_inside(self.directory)
        self._reap()

    def kill(self):
        """As a power failure would: no goodbye on any connection."""
        process.kill_inside(self.directory)
        self._reap()

    def _reap(self):
        if getattr(self, "_daemon", None):
            self._daemon.wait(10)

    def give(self, *paths):
        """Makes files the mail user's."""
        mail = pwd.getpwnam("mail")
        for path in paths:
            os.chown(path, mail.pw_uid, mail.pw_gid)
