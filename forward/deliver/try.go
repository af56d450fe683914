package deliver

import (
	"context"

	"github.com/seed-1397b510/smarthost/forward/route"
)

// Try does with a hop all that comes before a message (greeting, EHLO, TLS and login as the hop asks for them), says QUIT and
// tells what went wrong. It is for an operator who wants to know; no mail is sent. Errors are those of [Deliverer.Deliver].
func (d *Deliverer) Try(ctx context.Context, hop route.Hop) error {
	if err := d.prepare(); err != nil {
		return err
	}
	c, err := d.connection(ctx, hop, &Message{}, true)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	c.quit()
	return nil
}
