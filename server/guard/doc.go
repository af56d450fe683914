// Package guard is the door between a socket and go-smtp: a [net.Conn] that knows SMTP, above TLS and below the library.
//
// What it promises, so that the layers above need not think of it:
//   - Nothing is said or done for a client in clear but EHLO, HELO, NOOP, RSET, QUIT and STARTTLS (RFC 3207 §4, RFC 8314 §3).
//     Octets sent along with STARTTLS are never run, and a failed handshake ends the connection.
//   - go-smtp sees one complete command line at a time, in a form of the guard's own making, and never a part of one,
//     an over-long one, or one with controls in it (RFC 5321 §2.3.8, §4.5.3.1). Addresses and parameters are checked here
//     (RFC 5321 §4.1.2, 1870, 3461, 4954, 6152, 6531, 8689); quoted local parts reach the Session exactly as written.
//   - A message ends only where its sender ended it: at <CRLF>.<CRLF> (RFC 5321 §4.1.1.4), or at the last octet of BDAT … LAST
//     (RFC 3030). A connection lost or silent before that gives [ErrCut], never io.EOF, and nothing that was content
//     is ever run as a command. Content with bare CR, bare LF or NUL is refused.
//   - Every failure is final: after it only the end of the connection follows.
//   - Every wait has a limit, and a message as a whole must not fall ten minutes behind 50 octets a second. The limits are the guard's; go-smtp's own calls for deadlines do nothing.
//   - Replies have the codes that the RFCs ask for, an enhanced code on every line (RFC 2034), and no octet of the client's
//     that is not printable. They go out when the guard would have to wait for the client, so a pipelined group costs one TLS record.
//
// The server that uses it sets, on its smtp.Server: TLSConfig nil, AllowInsecureAuth true, MaxLineLength 0, MaxMessageBytes 0
// (the guard keeps Guard.MaxMessageSize), EnableREQUIRETLS if Guard.RequireTLS, and no time-outs. Session.Data reads
// [Conn.Content] to its end and leaves its own reader alone, which is always empty: a 2xx from Session.Data without the
// io.EOF of Content is turned into 451. Session.Mail and Session.Rcpt say yes with nil.
//
// Left out: BINARYMIME, RRVS, DELIVERBY, MT-PRIORITY and FUTURERELEASE are not offered, and their parameters are answered 555.
// Names are never looked up, and nothing is logged here: what is worth a log line is told by [Hooks].
package guard
