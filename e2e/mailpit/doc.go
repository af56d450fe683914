// Package mailpit asks smarthost test, and Mailpit itself, for the same mail with the same clients of Mailpit's API, as they were published:
//
//   - gosoline's client (ListMessages, GetMessage), in testdata/clients;
//   - mailpit readyz, and mailpit dump --http (the list, page by page, and each message as it came).
//
// Both servers are sent the mail over STARTTLS with a login, and are asked at their root and below /inbox/alice, which is Mailpit's --webroot. Each
// call must work there and here, and tell of the mail what was sent. What is not the same is that Mailpit adds fields on top of a message.
//
// The tests have the build tag e2e. Their clients are a module of their own, so that nothing of them is in the project's; e2e/run fetches it.
package mailpit
