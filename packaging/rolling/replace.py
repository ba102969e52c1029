"""Replaces three gateways one by one behind HAProxy, and counts the requests that are lost.

    replace.py BINARY REQUESTS

HAProxy notices a change of /readyz after five seconds, as a slow cluster does. Each gateway gets what the
chart gives a pod: a successor that is ready first, then five seconds of sleep (preStop), then SIGTERM with
a drain delay. Clients keep their connections. A WebSocket that was opened before is used while its gateway
drains. The order of events is that of the kubelet; the times are those of values.yaml, except for the
drain delay, which must be longer than HAProxy's lag.
"""

import asyncio
import base64
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import websockets

GATEWAYS = 3
LAG = 5  # Seconds until HAProxy notices.
PRE_STOP = 5
DRAIN_DELAY = 7
CLIENTS = 24
BATCH = 10_000  # Requests on the same connections.
MOST = 900  # Seconds; a bounded test.

binary, wanted = sys.argv[1], int(sys.argv[2])
folder = Path(tempfile.mkdtemp(prefix="approov-gateway-rolling-"))
processes = []


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def start(name, *command, **options):
    log = (folder / f"{name}.log").open("wb")
    process = subprocess.Popen(command, stdout=log, stderr=log, **options)
    processes.append(process)
    return process


def wait_for(what, condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.05)


def status(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


class Gateway:
    """One gateway and its ports. All generations of a slot have the same slot in HAProxy's list."""

    def __init__(self, name, ports, api):
        self.name, (self.public, self.admin, self.health) = name, ports
        config = folder / f"{name}.yaml"
        config.write_text(
            f"server: {{ threads: 1, drain_delay: {DRAIN_DELAY}s, grace_period: 30s }}\n"
            f'listeners: [ {{ address: "127.0.0.1:{self.public}" }} ]\n'
            f'admin: {{ address: "127.0.0.1:{self.admin}", health_address: "127.0.0.1:{self.health}" }}\n'
            "approov: { keys: [ { algorithm: HS256, secret_base64_file: secret } ] }\n"
            f'origins: {{ api: {{ domain: "http://127.0.0.1:{api}" }} }}\n'
        )
        self.process = start(name, binary, "run", "-c", config)
        wait_for(f"{name} to be ready", lambda: status(f"http://127.0.0.1:{self.health}/readyz") == 200)

    def stop(self):
        """As the kubelet does: preStop, SIGTERM, and patience. Returns after its end."""
        time.sleep(PRE_STOP)
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PRE_STOP + DRAIN_DELAY + 40) == 0, f"{self.name} ended badly"


def write_origin(port, sockets):
    (folder / "nginx.conf").write_text(
        f"""daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;
events {{ worker_connections 2048; }}
http {{
    access_log off; keepalive_requests 1000000;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{
        listen 127.0.0.1:{port};
        location / {{ return 200 "fine"; }}
        location /socket {{
            proxy_pass http://127.0.0.1:{sockets}; proxy_http_version 1.1; proxy_read_timeout 300;
            proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
        }}
    }}
}}
"""
    )


def write_balancer(front, slots):
    servers = "\n".join(
        f"    server {name} 127.0.0.1:{ports[0]} check port {ports[2]} inter 1s fall {LAG} rise {LAG}"
        for name, ports in slots
    )
    (folder / "haproxy.cfg").write_text(
        f"""global
    maxconn 2000
defaults
    mode http
    timeout connect 5s
    timeout client 300s
    timeout server 300s
    timeout tunnel 300s
frontend clients
    bind 127.0.0.1:{front}
    default_backend gateways
backend gateways
    balance roundrobin
    option httpchk GET /readyz
{servers}
"""
    )


def load(front, token, counts):
    """One batch of requests on kept-alive connections."""
    done = subprocess.run(
        ["h2load", "--h1", "-n", str(BATCH), "-c", str(CLIENTS), "-t", "1",
         "-H", f"Approov-Token: {token}", f"http://127.0.0.1:{front}/load"],
        capture_output=True, text=True, timeout=300,
    )
    codes = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", done.stdout)
    total = re.search(r"requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed", done.stdout)
    assert codes and total, done.stdout + done.stderr
    counts["answered"] += int(codes[1])
    counts["lost"] += int(total[1]) - int(codes[1])


async def under_load(work, front, token, counts):
    """Runs `work` in a thread, with requests before, while and after it."""
    task = asyncio.create_task(asyncio.to_thread(work))
    end = time.monotonic() + MOST
    while not task.done() or counts["answered"] + counts["lost"] < wanted:
        assert time.monotonic() < end, f"not done within {MOST} s: {counts}"
        await asyncio.to_thread(load, front, token, counts)
    await task


async def talk(front, token, seconds, counts):
    """A WebSocket that lives this long. Each message comes back, in order."""
    url = f"ws://127.0.0.1:{front}/socket"
    async with websockets.connect(url, additional_headers={"Approov-Token": token}) as connection:
        end, number = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            await connection.send(str(number))
            assert await asyncio.wait_for(connection.recv(), 20) == str(number)
            number += 1
            counts["messages"] += 1
            await asyncio.sleep(0.02)
    counts["websockets"] += 1


async def keep_talking(front, token, counts, stop):
    """WebSockets one after the other. Each is open while at least one gateway starts to drain."""
    while not stop.is_set():
        await talk(front, token, 20, counts)


async def main():
    (folder / "secret").write_bytes(base64.b64encode(os.urandom(48)))
    front, api, sockets = free_ports(3)
    # A pod that replaces another one has an address of its own: every generation has its own ports.
    ports = free_ports(3 * 2 * GATEWAYS)
    slots = [(f"gateway{number}", tuple(ports[3 * number : 3 * number + 3])) for number in range(2 * GATEWAYS)]
    write_origin(api, sockets)
    write_balancer(front, slots)

    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    async with websockets.serve(echo, "127.0.0.1", sockets):
        start("nginx", "nginx", "-c", folder / "nginx.conf", "-e", "stderr")
        running = [Gateway(name, slot, api) for name, slot in slots[:GATEWAYS]]
        start("haproxy", "haproxy", "-f", folder / "haproxy.cfg")
        token = subprocess.run(
            [binary, "token", "--secret-base64-file", folder / "secret"], check=True, capture_output=True, text=True
        ).stdout.strip()
        wait_for("HAProxy", lambda: status(f"http://127.0.0.1:{front}/") == 401)
        # Those that have not been started are taken for down only after the lag.
        await asyncio.sleep(LAG + 2)

        def replace_all():
            for old, (name, slot) in zip(running, slots[GATEWAYS:]):
                new = Gateway(name, slot, api)
                time.sleep(LAG + 1)  # HAProxy takes it for ready.
                old.stop()
                print(f"   {old.name} replaced by {new.name}", flush=True)

        counts = {"answered": 0, "lost": 0, "messages": 0, "websockets": 0}
        stop = asyncio.Event()
        talks = [asyncio.create_task(keep_talking(front, token, counts, stop)) for _ in range(3)]
        begin = time.monotonic()
        await under_load(replace_all, front, token, counts)
        stop.set()
        await asyncio.gather(*talks)
    print(
        f"   {counts['answered']} requests answered with 200, {counts['lost']} lost; {counts['websockets']} WebSockets "
        f"with {counts['messages']} messages, 0 lost; {GATEWAYS} gateways replaced in {time.monotonic() - begin:.0f} s"
    )
    assert counts["lost"] == 0 and counts["answered"] >= wanted and counts["websockets"] >= 3, counts


try:
    asyncio.run(main())
except BaseException:
    for log in sorted(folder.glob("*.log")):
        print(f"--- {log.name}\n" + log.read_text(errors="replace")[-2000:], file=sys.stderr)
    raise
finally:
    for process in processes:
        process.kill()
    shutil.rmtree(folder, ignore_errors=True)
