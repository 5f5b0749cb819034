"""The bridge to edXML (QCVN 102:2016): packages as files, to and from what the exchange carries."""
