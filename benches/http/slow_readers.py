#!/usr/bin/env python3
"""How much memory readers cost that stop reading, each of a large object of its own, and how much stays when they left.

Starts an origin and one tiergate on free ports of loopback, and ends both. Prints; checks nothing.
"""

import argparse
import asyncio
import contextlib
import re
import socket
import subprocess
import tempfile
from pathlib import Path

OBJECT_BYTES = 1 << 30
PIECE = b"x" * 65536
SETTLE_SECONDS = 4
AFTER_SECONDS = (1, 10, 15)


async def answer(reader, writer):
    """Every request gets an object that may be stored."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nCache-Control: max-age=60\r\n\r\n" % OBJECT_BYTES)
            for _ in range(OBJECT_BYTES // len(PIECE)):
                writer.write(PIECE)
                await writer.drain()
    writer.close()


def resident_mb(process):
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024


async def connect(port, number):
    loop = asyncio.get_running_loop()
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await loop.sock_connect(client, ("127.0.0.1", port))
    await loop.sock_sendall(client, f"GET /{number} HTTP/1.1\r\nHost: bench.example\r\n\r\n".encode())
    return client


async def measure(options, directory):
    origin = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = origin.sockets[0].getsockname()[1]
    config = directory / "tiergate.yaml"
    disk = f"cache: {{ l2: {{ capacity: 2GiB }} }}\nstorage: {{ l2: {{ directory: '{options.disk}' }} }}\n" if options.disk else ""
    config.write_text(f"listen: 127.0.0.1:0\norigin: http://127.0.0.1:{port}\n{disk}")
    process = await asyncio.create_subprocess_exec(options.binary, "serve", "-c", config, stdout=subprocess.PIPE)
    try:
        line = (await process.stdout.readline()).decode()
        port = int(re.search(r"listening on http://[^:]+:(\d+)", line).group(1))
        await asyncio.sleep(1)
        idle = resident_mb(process)
        print(f"idle: {idle:.1f} MB")
        clients = [await connect(port, number) for number in range(options.readers)]
        for client in clients:
            await asyncio.get_running_loop().sock_recv(client, 1024)
        await asyncio.sleep(SETTLE_SECONDS)
        held = resident_mb(process)
        print(f"{options.readers} slow readers: {held:.1f} MB, {(held - idle) * 1024 / options.readers:.0f} KiB each")
        for client in clients:
            client.close()
        passed = 0
        for seconds in AFTER_SECONDS:
            await asyncio.sleep(seconds - passed)
            passed = seconds
            print(f"{seconds} s after they left: {resident_mb(process):.1f} MB")
    finally:
        process.kill()
        await process.wait()
        origin.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", help="a tiergate built in release")
    parser.add_argument("--readers", type=int, default=200, help="default 200")
    parser.add_argument("--disk", help="a directory on a disk for an L2; default: none")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(measure(options, Path(directory)))


if __name__ == "__main__":
    main()
