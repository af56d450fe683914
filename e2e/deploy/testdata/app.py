# A program that sends a mail when it starts, and stays: what it is told is in its environment, as compose.yaml and the CI files have it.
import os, signal, smtplib, ssl, sys

message = """From: app@example.com
To: bob@example.net
Subject: Welcome
Date: Tue, 24 Nov 2026 12:00:00 +0000
Message-ID: <welcome@example.com>

Your code is 4711.
"""
with smtplib.SMTP(os.environ["SMTP_HOST"], int(os.environ["SMTP_PORT"]), local_hostname="app.example.com") as client:
    client.starttls(context=ssl.create_default_context())
    client.login(os.environ["SMTP_USER"], os.environ["SMTP_PASSWORD"])
    client.sendmail("app@example.com", ["bob@example.net"], message)
print("sent", flush=True)
if "stay" in sys.argv:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # process 1 never gets it otherwise
    signal.sigwait([signal.SIGTERM])
