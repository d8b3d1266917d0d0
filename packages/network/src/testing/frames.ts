/** Python that makes packets of its own and sends them as raw frames from eth0. */
export const frames = `
import socket, struct
def mac(text): return bytes.fromhex(text.replace(":", ""))
def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
def ipv4(protocol, source, target, body):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, 0, 64, protocol, 0, socket.inet_aton(source), socket.inet_aton(target))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body
def udp(source, target, text):
    return ipv4(17, source, target, struct.pack("!HHHH", 9, 7777, 8 + len(text), 0) + text)
def tcp(source, target, flags):
    body = struct.pack("!HHIIBBHHH", 9, 7777, 1, 0, 5 << 4, flags, 1024, 0, 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack("!HH", 6, len(body))
    return ipv4(6, source, target, body[:16] + struct.pack("!H", checksum(pseudo + body)) + body[18:])
def arp(sender_mac, sender, target):
    return struct.pack("!HHBBH6s4s6s4s", 1, 0x800, 6, 4, 1, mac(sender_mac), socket.inet_aton(sender), bytes(6), socket.inet_aton(target))
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
raw.bind(("eth0", 0x0806))
raw.settimeout(30)
def send(target_mac, source_mac, kind, body): raw.send(mac(target_mac) + mac(source_mac) + kind + body)
`;
