// Package guest holds what the two sides of the QEMU test tier agree on: the runner outside and the
// first process inside.
package guest

// Names of the shares (virtio-9p mount tags): the machine's whole file system, read-only, and a
// directory for the job and its results.
const (
	RootTag  = "root"
	ShareTag = "share"
)

// Paths inside the guest.
const (
	// ShareDir is where the share is mounted, in both roots.
	ShareDir = "/pbr-share"
	// SourceDir is where the project's source is.
	SourceDir = "/pbr-source"
	// JobFile is the shell script to run, StatusFile takes its exit status.
	JobFile    = ShareDir + "/job"
	StatusFile = ShareDir + "/status"
	// InitFile is the first process's program, in the share and in the initramfs alike.
	InitFile = ShareDir + "/init"
	// ModuleList names the modules of the initramfs, one path a line, in loading order.
	ModuleList = "/modules"
	// Console is the tests' terminal (virtconsole); the kernel's own messages go to ttyS0.
	Console = "/dev/hvc0"
)

// Keys of the kernel's command line: directories of the machine that the guest needs at other
// places.
const (
	SourceKey  = "pbr.source"
	ModulesKey = "pbr.modules"
)

// SecondStage is the argument of the init that runs in the new root.
const SecondStage = "job"

// StatusBroken is the status of a guest that could not run its job.
const StatusBroken = 125

// Alive is what the guest says first, when its job begins.
const Alive = "pbr-guest-alive"
