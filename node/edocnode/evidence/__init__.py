"""Evidence of one message: a file that anyone can check without either node.

``bundle`` writes it, ``verify`` judges it, ``VERIFY.md`` tells a person how to do the same with sh,
openssl and sha256sum. Nothing here opens a database or a socket.
"""
