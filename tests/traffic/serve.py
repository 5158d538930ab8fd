# SPDX-License-Identifier: Apache-2.0
# usage: serve.py FOLDER PORT [VIP]    Serves files by HTTP on every address of this host. With VIP it is a server behind
# a load balancer too: takes IP-in-IP packets out of their tunnel (RFC 2003) and answers as VIP. A TUN device stands for
# the kernel's tunnels, which not every kernel has.
import fcntl, functools, http.server, os, socket, struct, subprocess, sys, threading

folder, port, vip = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
if vip:
    tun = os.open("/dev/net/tun", os.O_RDWR)
    TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x1, 0x1000
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", b"tun0", IFF_TUN | IFF_NO_PI))
    subprocess.run(["ip", "link", "set", "tun0", "up"], check=True)
    subprocess.run(["ip", "address", "add", vip[0] + "/32", "dev", "lo"], check=True)
    tunnel = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IPIP)

    def unpack():
        while True:
            packet = tunnel.recv(65535)
            os.write(tun, packet[(packet[0] & 15) * 4 :])

    threading.Thread(target=unpack, daemon=True).start()


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6  # IPv4 too


Server(("::", port), functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)).serve_forever()
