//go:build e2e

package fleet

import "slices"

// Clients that keep mail and try again.
var clients = slices.Concat(stock, queueing)

// stock are as Debian's questions leave them, with nothing but the login added.
var stock = []client{
	exim("Exim, stock", "exim4", eximStock),
	exim("Exim, stock, split config", "exim4-split", eximStock),
	postfix("Postfix, stock", postfixStock),
}

// queueing are as the server's operator is told to set them up.
var queueing = []client{
	exim("Exim, enrolled", "exim4", enrolled("exim4")),
	exim("Exim, enrolled, split config", "exim4-split", enrolled("exim4")),
	postfix("Postfix, enrolled", enrolled("postfix")),
	opensmtpd(),
	nullmailer(),
	dma(),
}
