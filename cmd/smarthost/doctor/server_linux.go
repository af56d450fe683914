package doctor

import (
	"time"

	"golang.org/x/sys/unix"
)

func readKernelClock() kernelClock {
	var t unix.Timex // Modes 0 only reads
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return kernelClock{err: err}
	}
	return kernelClock{kept: t.Status&unix.STA_UNSYNC == 0 && state != unix.TIME_ERROR, maxError: time.Duration(t.Maxerror) * time.Microsecond}
}

// fileSystems are those whose fitness is known, by the magic of statfs(2).
var fileSystems = map[int64]fileSystem{
	unix.EXT4_SUPER_MAGIC:      {"ext4", fit},
	unix.XFS_SUPER_MAGIC:       {"xfs", fit},
	unix.BTRFS_SUPER_MAGIC:     {"btrfs", fit},
	unix.F2FS_SUPER_MAGIC:      {"f2fs", fit},
	unix.BCACHEFS_SUPER_MAGIC:  {"bcachefs", fit},
	0x2fc12fc1:                 {"zfs", fit},
	unix.OVERLAYFS_SUPER_MAGIC: {"overlay", ofContainer},
	0x61756673:                 {"aufs", ofContainer},
	unix.TMPFS_MAGIC:           {"tmpfs", inMemory},
	unix.RAMFS_MAGIC:           {"ramfs", inMemory},
	unix.NFS_SUPER_MAGIC:       {"nfs", overNetwork},
	unix.SMB_SUPER_MAGIC:       {"smb", overNetwork},
	unix.SMB2_SUPER_MAGIC:      {"smb", overNetwork},
	unix.CIFS_SUPER_MAGIC:      {"cifs", overNetwork},
	unix.AFS_SUPER_MAGIC:       {"afs", overNetwork},
	unix.CEPH_SUPER_MAGIC:      {"ceph", overNetwork},
	unix.V9FS_MAGIC:            {"9p", overNetwork},
	unix.FUSE_SUPER_MAGIC:      {"fuse", doubtful},
	unix.MSDOS_SUPER_MAGIC:     {"vfat", doubtful},
	unix.EXFAT_SUPER_MAGIC:     {"exfat", doubtful},
	unix.ECRYPTFS_SUPER_MAGIC:  {"ecryptfs", doubtful},
}

func readDisk(folder string) (disk, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(folder, &st); err != nil {
		return disk{}, err
	}
	return disk{system: fileSystems[int64(uint32(st.Type))], free: st.Bavail * uint64(st.Bsize), inodes: st.Files, freeInodes: st.Ffree}, nil
}

func fdatasync(fd uintptr) error { return unix.Fdatasync(int(fd)) }
