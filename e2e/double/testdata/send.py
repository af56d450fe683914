# Sends a mail to its arguments, as the documentation of Python's smtplib and email shows it.
import os
import smtplib
import ssl
import sys
from email.message import EmailMessage

mail = EmailMessage()
mail["From"] = "app@example.com"
mail["To"] = ", ".join(sys.argv[1:])
mail["Subject"] = "Reset your password"
if os.environ["MESSAGE_ID"]:
    mail["Message-ID"] = f"<{os.environ['MESSAGE_ID']}>"
mail.set_content("Your code is 471100.\n")
try:
    with smtplib.SMTP(os.environ["SMTP_HOST"], int(os.environ["SMTP_PORT"]), timeout=float(os.environ["SMTP_TIMEOUT"])) as server:
        server.starttls(context=ssl.create_default_context())
        server.login(os.environ["SMTP_USERNAME"], os.environ["SMTP_PASSWORD"])
        refused = server.send_message(mail)
except (OSError, smtplib.SMTPException) as e:
    sys.exit(f"{type(e).__name__}: {e}")
if refused:
    sys.exit(f"refused: {refused}")
