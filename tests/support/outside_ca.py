"""A certification authority outside the network, made and run with openssl alone; RSA."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

CONFIG = """
[ca]
default_ca = outside
[outside]
dir = .
database = index.txt
serial = serial
crlnumber = crlnumber
new_certs_dir = .
certificate = ca.pem
private_key = ca.key
default_md = sha256
default_days = 365
default_crl_days = 30
policy = any
[any]
commonName = supplied
[ca_ext]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[seal]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature,nonRepudiation
extendedKeyUsage = 1.3.6.1.5.5.7.3.36
crlDistributionPoints = URI:http://ca.example.vn/outside.crl
authorityKeyIdentifier = keyid
[tls]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature,nonRepudiation
extendedKeyUsage = 1.3.6.1.5.5.7.3.36,clientAuth
authorityKeyIdentifier = keyid
"""


@dataclass(frozen=True)
class OutsideCa:
    """Files of the authority, in a folder of its own."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> "OutsideCa":
        """Makes its key and certificate."""
        folder.mkdir()
        (folder / "ca.conf").write_text(CONFIG)
        (folder / "index.txt").touch()
        for name in ("serial", "crlnumber"):
            (folder / name).write_text("1001\n")
        made = cls(folder)
        made._openssl(
            *"req -x509 -newkey rsa:3072 -nodes -keyout ca.key -out ca.pem -days 3650".split(),
            *("-subj", "/CN=CA chuyên dùng Chính phủ", "-utf8"),
            *("-config", "ca.conf", "-extensions", "ca_ext"),
        )
        return made

    def issue(self, name: str, usage: str = "seal") -> tuple[Path, Path]:
        """Issues a certificate for a new RSA-2048 key; returns certificate and key, PEM."""
        files = (self.folder / f"{name}.pem", self.folder / f"{name}.key")
        self._openssl(
            *f"req -new -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr".split(),
            *("-subj", f"/CN={name}", "-config", "ca.conf"),
        )
        self._openssl(
            *f"ca -batch -notext -config ca.conf -extensions {usage}".split(),
            *("-in", f"{name}.csr", "-out", f"{name}.pem"),
        )
        files[1].chmod(0o600)
        return files

    def revoke(self, certificate: Path) -> None:
        """Revokes a certificate."""
        self._openssl("ca", "-config", "ca.conf", "-revoke", str(certificate))

    def certificate(self) -> bytes:
        """Its certificate, DER."""
        return self._openssl("x509", "-in", "ca.pem", "-outform", "DER")

    def crl(self) -> bytes:
        """A new list, DER."""
        self._openssl("ca", "-config", "ca.conf", "-gencrl", "-out", "outside.crl")
        return self._openssl("crl", "-in", "outside.crl", "-outform", "DER")

    def _openssl(self, *words: str) -> bytes:
        done = subprocess.run(
            ["openssl", *words], cwd=self.folder, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout
