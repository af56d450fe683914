// Sends a mail to its arguments, as the documentation of nodemailer shows it.
"use strict";
const nodemailer = require("nodemailer");

const patience = 1000 * process.env.SMTP_TIMEOUT;
const transport = nodemailer.createTransport({
  host: process.env.SMTP_HOST,
  port: Number(process.env.SMTP_PORT),
  requireTLS: true,
  auth: { user: process.env.SMTP_USERNAME, pass: process.env.SMTP_PASSWORD },
  connectionTimeout: patience,
  greetingTimeout: patience,
  socketTimeout: patience,
});
transport
  .sendMail({
    from: "app@example.com",
    to: process.argv.slice(2),
    subject: "Reset your password",
    text: "Your code is 471100.\n",
    messageId: process.env.MESSAGE_ID || undefined,
  })
  .then((info) => info.rejected.length > 0 && console.log(`rejected: ${info.rejected}`))
  .catch((e) => {
    console.error(`${e.code} at ${e.command}: ${e.message}`);
    process.exitCode = 1;
  });
