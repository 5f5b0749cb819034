"""Stands for a program in a shell: lets the process of ``commands.py`` run the command.

``python -IS command_client.py SOCKET WORD...``. It imports little, since it is started for each.
"""

import array
import json
import os
import socket
import sys


def main() -> None:
    """Hands over its words, environment, folder and files, and ends as the command did."""
    address, *words = sys.argv[1:]
    request = {"words": words, "environment": dict(os.environ), "folder": os.getcwd()}
    data = json.dumps(request).encode()
    files = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))]
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(address)
        line.sendmsg([len(data).to_bytes(4, "big")], files)
        line.sendall(data)
        line.recv(4)  # which process it is
        answer = line.recv(4)
    os._exit(int.from_bytes(answer, "big", signed=True) & 0xFF if answer else 1)


if __name__ == "__main__":
    main()
