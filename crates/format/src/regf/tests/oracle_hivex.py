"""Dumps hives as hivex reads them. Each line of the input: a hive and the file for its dump."""
import hashlib
import sys

import hivex


def text(name):
    return name.encode("utf-8", "replace").hex()


def dump(path):
    hive = hivex.Hivex(path)
    lines = []
    waiting = [(hive.root(), "")]
    while waiting:
        node, at = waiting.pop()
        lines.append(f"k {at} {hive.node_timestamp(node) & 0xFFFFFFFFFFFFFFFF}")
        for value in hive.node_values(node):
            kind, data = hive.value_value(value)
            digest = hashlib.sha1(data).hexdigest()
            lines.append(f"v {at} {text(hive.value_key(value))} {kind & 0xFFFFFFFF} {len(data)} {digest}")
        waiting += [(child, at + "/" + text(hive.node_name(child))) for child in hive.node_children(node)]
    return lines


for line in sys.stdin.read().splitlines():
    source, target = line.split("\t")
    try:
        lines = sorted(dump(source))
    except Exception as error:
        lines = [f"refused {error}"]
    open(target, "w").write("\n".join(lines))
