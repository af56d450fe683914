// Package powercut cuts the power of the real binary a thousand times, and looks for the mail that was answered with 250.
//
// A kill leaves what the kernel has been told, a power cut only what has been synced, and of the rest anything. So strace(1) records what
// the server does while clients send: each call that changes a file or a name of the data folder, with all its octets, each sync, and
// what is written to the clients' connections. A client knows how many octets it had received when it read its 250; that is where the
// record has the moment from which the server answers for the mail.
//
// From the record the test makes the data folder as a disk may hold it when the power is cut: what had been synced is there, and of all
// else nothing, everything, or a part by chance. The rules are those of a disk without any kindness:
//
//   - A file's content is on the disk when fsync(2) or fdatasync(2) on it has returned. Before that each sector, of 512 or 4096 octets,
//     is as it was at some moment since the last sync, whatever the others are, and so is the file's length. What a file has grown
//     by without being written holds zeros, or what somebody else left there.
//   - A file that was made shorter is so with what was done to it afterwards, or neither happened.
//   - A name that was made or taken away is so on the disk when its folder has been synced; to sync the file is not enough. Before that each
//     change of a name has happened or not, whatever the others have. A rename happens as a whole.
//   - The memory that SQLite's connections share holds anything.
//
// The cuts are before the end of each sync, when most is at stake, and at moments by chance. On each folder the queue is opened
// as the server opens it. Then
//
//   - each mail that was answered with 250 is there for each recipient, or the next hop had it before the cut, or a report on it is
//     in the queue or had been taken. Twice is allowed, never is not.
//   - each mail that is there is whole, answered or not: its checksum and its own hash are right, its file has its octets, no file
//     belongs to no mail, what the queue counts is what it has, and, in each tenth folder, SQLite finds tables and indexes in order.
//   - the accounts can be read and have each device that was said to be made, and what the server remembers (limits, logins) can be read.
//
// Some folders get the server itself, which has to hand all of it on.
//
// In the record are a first start, load with mails kept in the database and in files, mails broken off, recipients that are refused for
// good and for now, reports, checkpoints, a kill, the recovery after it, more load, and an end in order. A call on the data folder
// that the rules do not cover fails the test, and so does a record that does not end in the folder that is really there.
//
// What it leaves out: disks that say that they have synced and have not, bits that change later, and what a file system without a
// journal may lose besides.
//
// The test has the build tag e2e and needs root on Debian; e2e/run installs strace and runs it, in namespaces of its own (package lab).
package powercut
