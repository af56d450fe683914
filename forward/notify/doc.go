// Package notify tells others by HTTP what becomes of mail: the queue's events, one POST each, signed as the Standard Webhooks
// specification says (https://www.standardwebhooks.com).
//
// What it promises: an event that is in the queue's database is told at least once, however often the program ends in between, always with the same
// id; events of one message are told to one hook in their order. What is not taken is told again, with growing waits, until it is three days old.
// Mail never waits for it.
//
// It leaves out: redirects, proxies, and, unless a hook allows them, addresses that are not public: whoever can write the config or answer for a
// name in DNS must not reach services of this machine or its network.
package notify
