package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// A fitness says what keeping mail on a file system means.
type fitness int

const (
	unknown     fitness = iota
	fit                 // locks and syncs as it says
	ofContainer         // goes with the container
	inMemory            // goes with the power
	overNetwork         // locks and syncs are not what they seem
	doubtful            // may be all of this
)

type fileSystem struct {
	name string // "" = not known
	fit  fitness
}

type disk struct {
	system             fileSystem
	free               uint64 // octets
	inodes, freeInodes uint64 // inodes is 0 where the file system has no fixed number
}

// What the disk should have. The server refuses mail below 64 MiB (452).
const (
	spaceProblem  = 64 << 20
	spaceWarning  = 1 << 30
	inodesWarning = 1000
)

// How long one write of a block may take until it is on the disk.
const (
	writes    = 5 // the median counts
	slowWrite = 50 * time.Millisecond
	fastWrite = 30 * time.Microsecond
)

func (v *visit) checkData(context.Context) []Finding {
	st, err := os.Stat(v.Data)
	if errors.Is(err, fs.ErrNotExist) {
		return v.judgeNoData()
	}
	if err == nil && !st.IsDir() {
		err = errors.New("it is not a folder")
	}
	if errors.Is(err, fs.ErrPermission) {
		return []Finding{notAllowed("data", v.Data)}
	}
	if err != nil {
		return []Finding{{Check: "data", Level: Problem, Where: v.Data, What: clean(err.Error()), Why: "the queue and the accounts are kept there; without it the server does not start",
			Do: "set data in " + v.configName() + " to a folder that the server's user may write, or run this as that user or as root"}}
	}
	found := []Finding{v.judgeOwner(st)}
	folder := filepath.Join(v.Data, "queue")
	if _, err := os.Stat(folder); err != nil {
		folder = v.Data
	}
	d, disk := diskFindings(folder)
	found = append(found, disk...)
	if d.system.fit == inMemory {
		return found // nothing that is written there reaches a disk
	}
	took, err := measureWrites(folder)
	switch {
	case err == nil:
		found = append(found, judgeWrites(folder, took))
	case errors.Is(err, fs.ErrPermission):
		found = append(found, Finding{Check: "disk", Level: Note, Where: folder, What: "this user may not write there, so the disk's speed was not measured",
			Why: "each mail is on the disk before the client hears 250", Do: "run this as root or as the server's user"})
	default:
		found = append(found, Finding{Check: "disk", Level: Problem, Where: folder, What: "nothing can be written: " + clean(err.Error()),
			Why: "the server refuses mail that it cannot keep", Do: "see to the disk (dmesg, df, mount)"})
	}
	return found
}

// notAllowed is about what the user of this examination may not read; the server's user may well be another.
func notAllowed(check, file string) Finding {
	return Finding{Check: check, Where: file, Level: Warning, What: "this user may not read it, so it was not looked at",
		Why: "if the server runs as this user, it cannot read it either", Do: "run this as root or as the server's user"}
}

// judgeNoData looks at the disk that the folder would be made on.
func (v *visit) judgeNoData() []Finding {
	found := []Finding{{Check: "data", Level: Note, Where: v.Data, What: "the folder is not there yet; the server makes it at its first start",
		Why: "the queue and the accounts are kept there", Do: "if the server has run before, it was with another data folder: see data in " + v.configName()}}
	for folder := filepath.Dir(v.Data); ; folder = filepath.Dir(folder) {
		if _, err := os.Stat(folder); err == nil {
			_, disk := diskFindings(folder)
			return append(found, disk...)
		}
		if folder == filepath.Dir(folder) {
			return found
		}
	}
}

func (v *visit) judgeOwner(st fs.FileInfo) Finding {
	owner := ownerName(st)
	if st.Mode().Perm()&0o007 != 0 {
		return Finding{Check: "data", Level: Warning, Where: v.Data, What: fmt.Sprintf("other users of this machine may enter it (mode %04o)", st.Mode().Perm()),
			Why: "mail, password hashes and keys are in it", Do: "chmod 700 " + v.Data}
	}
	return Finding{Check: "data", Where: v.Data, What: "belongs to the user " + owner + " alone"}
}

func ownerName(st fs.FileInfo) string {
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return "somebody"
	}
	id := strconv.FormatUint(uint64(sys.Uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "user " + id
}

func diskFindings(folder string) (disk, []Finding) {
	d, err := readDisk(folder)
	if err != nil {
		return d, []Finding{{Check: "disk", Level: Problem, Where: folder, What: clean(err.Error()), Why: "a disk that does not tell its space may fail in other ways", Do: "see to the disk (dmesg, df, mount)"}}
	}
	return d, []Finding{judgeFileSystem(folder, d.system), judgeSpace(folder, d)}
}

func judgeFileSystem(folder string, s fileSystem) Finding {
	f := Finding{Check: "file system", Where: folder, Level: Problem, What: "the file system is " + s.name}
	switch s.fit {
	case fit:
		return Finding{Check: f.Check, Where: folder, What: s.name + " keeps what is synced"}
	case ofContainer:
		f.Why = "it goes with the container: when that is made anew, all waiting mail and all accounts are lost"
		f.Do = "put data on a volume: docker run -v smarthost:/var/lib/smarthost, a PersistentVolumeClaim in Kubernetes. On a live system, on a disk"
	case inMemory:
		f.Why = "it is memory: a restart of the machine loses all waiting mail and all accounts"
		f.Do = "put data on a disk (data in the config)"
	case overNetwork:
		f.Why = "locks and syncs do not hold over a network as they do on a disk: the queue can be damaged, and accepted mail be lost"
		f.Do = "put data on a disk of this machine, or on a block device from the network (iSCSI, a cloud disk)"
	case doubtful:
		f.Level = Warning
		f.Why = "it depends on what is behind it whether locks and syncs hold; if not, accepted mail can be lost"
		f.Do = "put data on ext4, xfs or btrfs"
	default:
		f.Level, f.What = Note, "the file system is of a kind that is not known here"
		f.Why, f.Do = "the queue needs locks and syncs that hold", "prefer ext4, xfs or btrfs"
	}
	return f
}

func judgeSpace(folder string, d disk) Finding {
	f := Finding{Check: "space", Where: folder, Detail: map[string]any{"free": d.free, "free_inodes": d.freeInodes},
		What: fmt.Sprintf("%s free", octets(d.free)), Why: "below 64 MiB, or without inodes, the server refuses mail (452), and clients keep it",
		Do: "make room, or move data to a larger disk"}
	short := d.inodes > 0 && d.freeInodes < inodesWarning
	if short {
		f.What += fmt.Sprintf(", and %s", count(int(d.freeInodes), "inode"))
	}
	switch {
	case d.free < spaceProblem, d.inodes > 0 && d.freeInodes == 0:
		f.Level = Problem
	case d.free < spaceWarning, short:
		f.Level = Warning
	default:
		f.Why, f.Do = "", ""
	}
	return f
}

func octets(n uint64) string {
	if n < 1<<30 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}

// measureWrites writes a block and waits until it is on the disk, a few times, to a file without a name.
func measureWrites(folder string) (median time.Duration, err error) {
	f, err := os.CreateTemp(folder, ".doctor-*")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return 0, err
	}
	block := make([]byte, 4096)
	took := make([]time.Duration, writes)
	for i := range took {
		start := time.Now()
		if _, err = f.Write(block); err == nil {
			err = fdatasync(f.Fd())
		}
		if err != nil {
			return 0, err
		}
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	return took[writes/2], nil
}

func judgeWrites(folder string, took time.Duration) Finding {
	f := Finding{Check: "disk", Where: folder, What: fmt.Sprintf("a write is on the disk after %.2f ms", float64(took.Microseconds())/1000),
		Detail: map[string]any{"write_us": took.Microseconds()}}
	switch {
	case took > slowWrite:
		f.Level, f.Why = Warning, "each mail is on the disk before the client hears 250, so the disk decides how much mail the server can take"
		f.Do = "use an SSD, or see what else keeps this disk busy (iostat -x 1)"
	case took < fastWrite:
		f.Level, f.What = Note, f.What+", which is faster than disks are"
		f.Why = "the disk, or the virtual machine's host, may say “written” too early; a power cut could then lose accepted mail"
		f.Do = "in a virtual machine, see that the disk's cache mode is not “unsafe”. A disk with a battery-backed cache is fine"
	}
	return f
}
