"""The Unix socket of a data folder: found by commands, closed to other users."""

import asyncio
import contextlib
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from edoccore.errors import NodeNotRunningError
from edockit import grpc_client, grpc_server, unix_socket
from tests.integration.edockit import echo

TIMEOUT_S = 60


@contextlib.asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Path]:
    server = grpc_server.office_server()
    server.add_generic_rpc_handlers((echo.handler(),))
    path = unix_socket.bind_unix(server, folder)
    await server.start()
    try:
        yield path
    finally:
        await server.stop(0)
        unix_socket.remove_socket(folder)


async def say(folder: Path) -> bytes:
    async with grpc_client.unix_channel(unix_socket.find_socket(folder)) as channel:
        return await channel.unary_unary(echo.UNARY)(b"hi", timeout=TIMEOUT_S)


@pytest.mark.parametrize(
    "name",
    ["data", "dữ liệu của Bộ", "100% đủ", "x" * 120, "#hash?", "C:;,"],
    ids=["plain", "vietnamese", "percent", "long", "query", "windows"],
)
async def test_a_command_finds_the_program_whatever_the_folder_is_called(
    tmp_path: Path, name: str
) -> None:
    folder = tmp_path / name
    folder.mkdir(mode=0o700)
    async with serving(folder) as path:
        assert await say(folder) == b"hi"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.exists()
    assert not (folder / "socket").exists()
    if path.parent != folder:
        assert not path.parent.exists()
    with pytest.raises(NodeNotRunningError):
        unix_socket.find_socket(folder)


async def test_a_socket_left_by_a_killed_program_is_replaced(tmp_path: Path) -> None:
    for folder in (tmp_path / "short", tmp_path / ("x" * 120)):
        folder.mkdir(mode=0o700)
        script = (
            "import os, sys, asyncio; from pathlib import Path\n"
            "from edockit import grpc_server, unix_socket\n"
            "async def main():\n"
            "    unix_socket.bind_unix(grpc_server.office_server(), Path(sys.argv[1]))\n"
            "    os.kill(os.getpid(), 9)\n"
            "asyncio.run(main())"
        )
        command = [sys.executable, "-c", script, str(folder)]
        await asyncio.to_thread(subprocess.run, command, check=False)
        left = unix_socket.find_socket(folder)
        async with serving(folder):
            assert await say(folder) == b"hi"
        assert not left.exists()


async def test_nobody_answers_behind_a_socket_that_was_left(tmp_path: Path) -> None:
    async with serving(tmp_path) as path:
        channel = grpc_client.unix_channel(path)
    async with channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(echo.UNARY)(b"hi", timeout=TIMEOUT_S)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
async def test_another_user_cannot_connect(tmp_path: Path) -> None:
    # The folder is opened on purpose, so that the mode of the socket alone is tested.
    folder = Path("/tmp") / f"edoc-{os.getpid()}"  # parents that others may pass
    folder.mkdir(mode=0o755)
    script = (
        "import socket, sys\n"
        "try: socket.socket(socket.AF_UNIX).connect(sys.argv[1])\n"
        "except PermissionError: print('refused')"
    )
    try:
        async with serving(folder) as path:
            done = await asyncio.to_thread(
                subprocess.run,
                ["python3", "-c", script, str(path)],
                capture_output=True,
                text=True,
                user="nobody",
                env={"PATH": "/usr/bin:/bin"},
                check=False,
            )
    finally:
        shutil.rmtree(folder)
    assert done.stdout.strip() == "refused", done.stderr
