package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"pbr/integration/vm/guest"
)

// bootModules are what the guest needs to reach its root and its console, if the kernel does not
// have them built in.
var bootModules = []string{"virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay"}

// initramfs returns a file system for the kernel to start with: the first process and the modules
// that it loads.
func initramfs(k kernel, initProgram string) ([]byte, error) {
	files, err := moduleFiles(k)
	if err != nil {
		return nil, err
	}
	var a archive
	if err := a.addFile("init", initProgram); err != nil {
		return nil, err
	}
	var list strings.Builder
	for i, path := range files {
		content, err := readModule(path)
		if err != nil {
			return nil, err
		}
		name := fmt.Sprintf("module%02d.ko", i)
		a.add(name, content)
		fmt.Fprintf(&list, "/%s\n", name)
	}
	a.add(strings.TrimPrefix(guest.ModuleList, "/"), []byte(list.String()))
	return a.end(), nil
}

// moduleFiles returns the files of bootModules and of what they need, in loading order.
func moduleFiles(k kernel) ([]string, error) {
	var files []string
	seen := map[string]bool{}
	for _, name := range bootModules {
		// -d is the directory above lib/modules.
		cmd := exec.Command(systemProgram("modprobe"), "-d", filepath.Join(k.modules, "../.."), "-S", k.version, "--show-depends", name)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("%w: kernel %s has no module %s in %s: %s", errCannot, k.version, name, k.modules,
				bytes.TrimSpace(stderr.Bytes()))
		}
		for line := range strings.Lines(string(out)) {
			// "insmod FILE [OPTIONS]" or "builtin NAME"
			words := strings.Fields(line)
			if len(words) >= 2 && words[0] == "insmod" && !seen[words[1]] {
				seen[words[1]] = true
				files = append(files, words[1])
			}
		}
	}
	return files, nil
}

// readModule reads a module, and unpacks it if the distribution packs them.
func readModule(path string) ([]byte, error) {
	switch filepath.Ext(path) {
	case ".xz":
		return exec.Command("xz", "-dc", path).Output()
	case ".zst":
		return exec.Command("zstd", "-dcq", path).Output()
	case ".gz":
		return exec.Command("gzip", "-dc", path).Output()
	}
	return os.ReadFile(path)
}

// archive is a cpio archive of the kind that the kernel unpacks
// (Documentation/driver-api/early-userspace/buffer-format.rst, newc).
type archive struct {
	b     bytes.Buffer
	inode int
}

func (a *archive) addFile(name, path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	a.add(name, content)
	return nil
}

// add adds a file that can be read and executed.
func (a *archive) add(name string, content []byte) {
	const regularFile = 0o100755
	a.inode++
	// magic, inode, mode, uid, gid, links, mtime, size, device, special device, name's length with
	// its zero, checksum
	fmt.Fprintf(&a.b, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		a.inode, regularFile, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0)
	a.b.WriteString(name)
	a.b.WriteByte(0)
	a.pad()
	a.b.Write(content)
	a.pad()
}

func (a *archive) pad() {
	for a.b.Len()%4 != 0 {
		a.b.WriteByte(0)
	}
}

// end closes the archive and returns it.
func (a *archive) end() []byte {
	a.add("TRAILER!!!", nil)
	return a.b.Bytes()
}
