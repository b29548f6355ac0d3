package kernel

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pbr/integration/lab"
)

// oldState makes a state directory that was not used for that long.
func oldState(t *testing.T, dir string, unused time.Duration) {
	t.Helper()
	must(t, os.Mkdir(dir, 0o700))
	then := time.Now().Add(-unused)
	for _, name := range []string{lockFile, journalFile, ""} {
		file := filepath.Join(dir, name)
		if name != "" {
			must(t, os.WriteFile(file, []byte("{}"), 0o600))
		}
		must(t, os.Chtimes(file, then, then))
	}
}

// Directories of namespaces that are gone go after a day without use; those that are in use, or
// whose namespace is there, stay.
func TestPruneStates(t *testing.T) {
	lab.New(t) // needs root
	top := t.TempDir()
	there := exec.Command("unshare", "--net", "sh", "-c", "echo begun; exec sleep 1000")
	out, err := there.StdoutPipe()
	must(t, err)
	must(t, there.Start())
	t.Cleanup(func() { _ = there.Process.Kill(); _ = there.Wait() })
	_, err = out.Read(make([]byte, 8))
	must(t, err)
	running, err := namespaceIDOf("/proc/" + strconv.Itoa(there.Process.Pid) + "/ns/net")
	must(t, err)

	own := filepath.Join(top, "net-1234567890")
	dirs := map[string]time.Duration{own: 48 * time.Hour}
	for name, unused := range map[string]time.Duration{
		"net-fffffffffffff1": 25 * time.Hour, "net-fffffffffffff2": 23 * time.Hour, "net-fffffffffffff3": 48 * time.Hour,
		"ino-1": 48 * time.Hour, "other": 48 * time.Hour, running: 48 * time.Hour,
	} {
		dirs[filepath.Join(top, name)] = unused
	}
	for dir, unused := range dirs {
		oldState(t, dir, unused)
	}
	held, err := os.OpenFile(filepath.Join(top, "net-fffffffffffff3", lockFile), os.O_RDWR, 0)
	must(t, err)
	defer held.Close()
	must(t, unix.Flock(int(held.Fd()), unix.LOCK_EX))

	look := func(when string, gone ...string) {
		t.Helper()
		for dir := range dirs {
			want := true
			for _, name := range gone {
				want = want && filepath.Base(dir) != name
			}
			if _, err := os.Stat(dir); (err == nil) != want {
				t.Errorf("%s: %s: there %v, wanted %v", when, filepath.Base(dir), err == nil, want)
			}
		}
	}
	pruneStates(own)
	look("while the namespace is there", "net-fffffffffffff1", "ino-1")
	must(t, there.Process.Kill())
	_ = there.Wait()
	lab.WaitFor(t, "the namespace's directory to go", func() bool {
		pruneStates(own)
		_, err := os.Stat(filepath.Join(top, running))
		return os.IsNotExist(err)
	})
	look("when it is gone", "net-fffffffffffff1", "ino-1", running)
}
