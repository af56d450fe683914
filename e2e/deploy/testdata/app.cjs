// The same program as app.py, with nodemailer. What to trust is in NODE_EXTRA_CA_CERTS.
const { SMTP_HOST, SMTP_PORT, SMTP_USER, SMTP_PASSWORD } = process.env;
require("nodemailer")
  .createTransport({ host: SMTP_HOST, port: Number(SMTP_PORT), requireTLS: true, auth: { user: SMTP_USER, pass: SMTP_PASSWORD } })
  .sendMail({ from: "app@example.com", to: "bob@example.net", subject: "Welcome", text: "Your code is 4711." });
