# Says of each file what CPython's email package reads in it: one line per part, with type, file name and content.
import email, hashlib, json, sys

OPAQUE = ("message/delivery-status", "message/external-body")  # which CPython takes apart


def describe(part):
    kind = part.get_content_type()
    if kind in OPAQUE:
        return [kind]
    of = part.get_payload() if part.is_multipart() else []
    if kind.startswith("multipart/") and not of:
        kind = "text/plain"  # as RFC 2045 section 5.2 has it of what is not valid
    line = kind
    if not of:
        content = (part.get_payload(decode=True) or b"").replace(b"\r\n", b"\n").rstrip(b"\n")
        line += " " + hashlib.sha256(content).hexdigest()[:16]
    return [line + " " + str(part.get_filename() or "")] + [line for inner in of for line in describe(inner)]


json.dump({path: describe(email.message_from_binary_file(open(path, "rb"))) for path in sys.argv[1:]}, sys.stdout)
