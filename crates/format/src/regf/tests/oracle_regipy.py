"""Dumps hives as regipy reads them. Each line of the input: a hive and the file for its dump."""
import hashlib
import logging
import sys
from io import BytesIO

from construct import Int32ul
from regipy.registry import NKRecord, RegistryHive
from regipy.structs import REGF_HEADER_SIZE, VALUE_KEY

logging.disable(logging.CRITICAL)


def text(name, compressed):
    decoded = name.decode("latin-1") if compressed else name.decode("utf-16-le", "replace")
    return decoded.encode("utf-8").hex()


def values(node):
    if node.header.flags.KEY_PREDEF_HANDLE:
        return
    stream = node._stream
    for index in range(node.values_count):
        stream.seek(REGF_HEADER_SIZE + 4 + node.header.values_list_offset + 4 * index)
        stream.seek(REGF_HEADER_SIZE + 4 + Int32ul.parse_stream(stream))
        value = VALUE_KEY.parse_stream(stream)
        if value.data_size >= 0x80000000:
            data = Int32ul.build(value.data_offset)[: value.data_size - 0x80000000]
        else:
            record = NKRecord.read_value(value, stream) if value.data_size else None
            data = record.value if record else b""
            if value.data_size > 0x3FD8 and data[:2] == b"db":
                data = NKRecord._parse_indirect_block(stream, record)
        yield text(value.name, value.flags.VALUE_COMP_NAME), int(value.data_type), data


def dump(path):
    lines = []
    waiting = [(RegistryHive(path).root, "")]
    while waiting:
        node, at = waiting.pop()
        has_class = node.header.class_name_size and node.header.class_name_offset != 0xFFFFFFFF
        name = node.get_class_name().encode("utf-8", "replace").hex() if has_class else "-"
        lines.append(f"k {at} {node.header.last_modified} {name}")
        for name, kind, data in values(node):
            lines.append(f"v {at} {name} {kind} {len(data)} {hashlib.sha1(data).hexdigest()}")
        for child in node.iter_subkeys():
            waiting.append((child, at + "/" + text(child.header.key_name_string, child.header.flags.KEY_COMP_NAME)))
    return lines


for line in sys.stdin.read().splitlines():
    source, target = line.split("\t")
    try:
        lines = sorted(dump(source))
    except Exception as error:
        lines = [f"refused {error}"]
    open(target, "w").write("\n".join(lines))
