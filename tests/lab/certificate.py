"""A certificate authority of our own and one server certificate for localhost."""

import os
from lab.process import run


class Certificates:
    """Made in `directory` when not there yet: `ca` (to trust), `certificate` and `key` (to serve)."""

    def __init__(self, directory):
        self.directory = directory
        self.ca = os.path.join(directory, "ca.pem")
        self.certificate = os.path.join(directory, "server.pem")
        self.key = os.path.join(directory, "server.key")
        if not os.path.exists(self.certificate):
            self._make()

    def _make(self):
        os.makedirs(self.directory, exist_ok=True)
        ca_key = os.path.join(self.directory, "ca.key")
        request = os.path.join(self.directory, "server.csr")
        names = os.path.join(self.directory, "server.ext")
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        run(["openssl", "req", "-x509", *new_key, "-days", "3650", "-subj", "/CN=mailfs lab authority",
             "-keyout", ca_key, "-out", self.ca])
        run(["openssl", "req", *new_key, "-subj", "/CN=localhost", "-keyout", self.key,
             "-out", request])
        with open(names, "w", encoding="ascii") as extensions:
            extensions.write("subjectAltName = DNS:localhost, IP:127.0.0.1\n"
                             "basicConstraints = CA:FALSE\n")
        run(["openssl", "x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", ca_key,
             "-CAcreateserial", "-days", "3650", "-extfile", names, "-out", self.certificate])
        os.chmod(self.ca, 0o644)
