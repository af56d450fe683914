//go:build e2e

package fleet

// Clients that keep mail and try again.
var clients = []client{
	exim("Exim, stock", "exim4", eximStock),
	exim("Exim, stock, split config", "exim4-split", eximStock),
	exim("Exim, enrolled", "exim4", enrolled("exim4")),
	exim("Exim, enrolled, split config", "exim4-split", enrolled("exim4")),
	postfix("Postfix, stock", postfixStock),
	postfix("Postfix, enrolled", enrolled("postfix")),
	opensmtpd(),
	nullmailer(),
	dma(),
}
