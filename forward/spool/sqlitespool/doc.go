// Package sqlitespool keeps the queue in a folder of one machine: one SQLite database, and one file for each large body.
//
//	queue.db, -wal, -shm   messages, deliveries, bodies under 64 KiB, rules, history, events that are to be told; readable with the
//	                       sqlite3 tool, and for its user alone, since relays that mail is rerouted to stand there with their logins
//	body/<id>              bodies from 64 KiB on, as they were written
//	lock                   held by the one process that may write; its pid is inside
//
// What it promises: see package spool. How: all changes go through one goroutine, which commits once for everybody who waits.
// A batch that brings mail, a report, or the end of a body file is synced to disk (synchronous=FULL); a batch of mere results only reaches the kernel
// (NORMAL), which a killed process survives and a power cut may undo: then a delivered message is delivered again.
// A body file and its directory entry are synced before the row that makes them exist.
// After a failed commit the database is closed, and nothing is accepted until it has been opened again and all that is known to be
// committed has been moved into the main file and synced; a failed sync is never repeated on the same data.
//
// Keys of duplicates are written to the end of a table that is in memory too, and go to their place among the others in bulk. An order that takes
// recipients out notes them at their mail's key in the same transaction: when the same mail comes again it is queued for them, and for them alone.
//
// A disk without space fails the transaction before its sync, so that nothing of it is there and the connection stays good. Its mail is refused, its results are
// tried again: with the space of the reserve, and one by one.
//
// Leases are kept in memory: only this process hands them out, and when it ends all of them are over. A claim therefore writes nothing.
// Fences start at the clock, so that no fence of an earlier process is ever valid again.
//
// Orders of operators change a page of rows in one transaction, while no claim is made. On a row that is leased they are marks, which Settle
// reads again in its own transaction. The history gets one row with each Settle, the last one with what the message's row said;
// Orders are written into the delivery's row, which they change anyhow, and go to the history when it ends;
// old rows go with later transactions, some hundred at a time, and every ten minutes when there are none.
//
// The format is 6. Open brings a database of an older one to it in one transaction that adds columns and tables; there is no way back.
//
// Events are written down in the transaction that makes them true, once for each listener that wants them, and are gone when Told says so.
//
// Every row and body has a CRC-32C. What does not match is set aside as damaged.
//
// It leaves out: several processes on one folder (the second is refused), systems without flock(2), and network file systems, on which
// SQLite's write-ahead log does not work.
package sqlitespool
