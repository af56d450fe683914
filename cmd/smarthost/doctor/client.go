package doctor

import "context"

// A Client examines a submission server as a laptop sees it.
type Client struct {
	Host string // name or address
	Port int    // 0 = 587 and 465

	Progress Progress
}

// Run examines the server and reports what it finds. The error says what kept it from going on, ctx.Err() included.
func (c Client) Run(ctx context.Context, report Report) error {
	return ctx.Err()
}
