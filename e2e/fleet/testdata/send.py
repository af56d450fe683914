# A service that sends the mail it reads to its arguments, with the settings that it finds in its environment.
import os
import smtplib
import ssl
import sys


def setting(name):
    path = os.environ.get(name + "_FILE")
    if path is None:
        return os.environ[name]
    with open(path) as f:
        return f.read().rstrip("\n")


def main():
    host, port = setting("SMTP_HOST"), int(setting("SMTP_PORT"))
    context = ssl.create_default_context(cafile=os.environ.get("SMTP_CA_FILE"))
    mail = sys.stdin.read()  # as text, whose lines smtplib ends with CRLF
    try:
        if setting("SMTP_TLS") == "tls":
            server = smtplib.SMTP_SSL(host, port, timeout=60, context=context)
        else:
            server = smtplib.SMTP(host, port, timeout=60)
            server.starttls(context=context)
        with server:
            server.login(setting("SMTP_USER"), setting("SMTP_PASSWORD"))
            server.sendmail(setting("SMTP_FROM"), sys.argv[1:], mail)
    except OSError as e:
        sys.exit(f"{type(e).__name__}: {e}")


main()
