package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// Variables that say where kernels come from.
const (
	// kernelEnv names a kernel image to boot. Its modules must be in /lib/modules/VERSION.
	kernelEnv = "PBR_KERNEL"
	// cacheEnv names the directory for downloads; by itself $XDG_CACHE_HOME/pbr or ~/.cache/pbr.
	cacheEnv = "PBR_CACHE"
)

// metaPackage depends on Debian's current kernel for amd64.
const metaPackage = "linux-image-amd64"

// kernel is an image and the directory that has its modules in a directory named after its version.
type kernel struct {
	version, image, modules string
}

// findKernel returns the kernel that kernelEnv names, the newest one in the cache, or one that apt
// downloads into it. Nothing is installed.
func findKernel() (kernel, error) {
	if runtime.GOARCH != "amd64" {
		return kernel{}, fmt.Errorf("%w: only amd64 kernels are known to boot, this is %s", errCannot, runtime.GOARCH)
	}
	if image := os.Getenv(kernelEnv); image != "" {
		version, err := imageVersion(image)
		return kernel{version: version, image: image, modules: "/lib/modules"}, err
	}
	cache, err := cacheDir()
	if err != nil {
		return kernel{}, err
	}
	if k, ok := cachedKernel(cache); ok {
		return k, nil
	}
	if err := downloadKernel(cache); err != nil {
		return kernel{}, fmt.Errorf("%w: downloading a kernel: %w; %s=IMAGE names one that is there", errCannot, err, kernelEnv)
	}
	k, ok := cachedKernel(cache)
	if !ok {
		return kernel{}, fmt.Errorf("package %s has no kernel image", metaPackage)
	}
	return k, nil
}

func cacheDir() (string, error) {
	dir := os.Getenv(cacheEnv)
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("finding a cache directory: %w; set %s", err, cacheEnv)
		}
		dir = filepath.Join(user, "pbr")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o755)
}

// cachedKernel returns the newest kernel below CACHE/linux.
func cachedKernel(cache string) (kernel, bool) {
	images, _ := filepath.Glob(filepath.Join(cache, "linux", "*", "boot", "vmlinuz-*"))
	if len(images) == 0 {
		return kernel{}, false
	}
	image := slices.MaxFunc(images, func(a, b string) int { return compareNatural(filepath.Base(a), filepath.Base(b)) })
	_, version, _ := strings.Cut(filepath.Base(image), "-")
	return kernel{version: version, image: image, modules: filepath.Join(image, "../../lib/modules")}, true
}

var numberPattern = regexp.MustCompile(`\d+`)

// compareNatural orders by the numbers in two names.
func compareNatural(a, b string) int {
	key := func(s string) []string {
		numbers := numberPattern.FindAllString(s, -1)
		for i, n := range numbers {
			numbers[i] = fmt.Sprintf("%10s", n)
		}
		return numbers
	}
	return slices.Compare(key(a), key(b))
}

// downloadKernel unpacks Debian's current kernel into CACHE/linux/PACKAGE, whole or not at all.
func downloadKernel(cache string) error {
	name, err := kernelPackage()
	if err != nil {
		return err
	}
	fmt.Printf("downloading %s into %s\n", name, cache)
	tmp, err := os.MkdirTemp(cache, "download-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := command(tmp, "apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", name); err != nil {
		return err
	}
	debs, _ := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if len(debs) != 1 {
		return fmt.Errorf("apt-get download %s left %d packages, not 1", name, len(debs))
	}
	tree := filepath.Join(tmp, "tree")
	if err := command(tmp, "dpkg-deb", "-x", debs[0], tree); err != nil {
		return err
	}
	// Newer packages have their modules below /usr.
	if _, err := os.Stat(filepath.Join(tree, "lib")); os.IsNotExist(err) {
		if err := os.Rename(filepath.Join(tree, "usr/lib"), filepath.Join(tree, "lib")); err != nil {
			return err
		}
	}
	versions, err := os.ReadDir(filepath.Join(tree, "lib/modules"))
	if err != nil || len(versions) != 1 {
		return fmt.Errorf("package %s has no modules of one kernel: %v", name, err)
	}
	// The package leaves this to its installation.
	if err := command(tree, systemProgram("depmod"), "-b", tree, versions[0].Name()); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(cache, "linux"), 0o755); err != nil {
		return err
	}
	err = os.Rename(tree, filepath.Join(cache, "linux", name))
	if os.IsExist(err) {
		return nil // somebody else was faster
	}
	return err
}

var imagePattern = regexp.MustCompile(`Depends: (linux-image-\d\S*)`)

// kernelPackage returns the package that metaPackage stands for.
func kernelPackage() (string, error) {
	var out []byte
	for range 2 {
		var err error
		out, err = exec.Command("apt-cache", "depends", metaPackage).Output()
		if m := imagePattern.FindSubmatch(out); err == nil && m != nil {
			return string(m[1]), nil
		}
		// Fresh machines have no package lists.
		if err := command("", "apt-get", "-qq", "update"); err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("apt knows no package that %s depends on: %q", metaPackage, out)
}

// imageVersion reads the version out of an image: at 0x20e the header has the offset, less 0x200,
// of a string whose first word it is (Documentation/arch/x86/boot.rst, kernel_version).
func imageVersion(image string) (string, error) {
	b, err := os.ReadFile(image)
	if err != nil {
		return "", fmt.Errorf("reading %s=%s: %w", kernelEnv, image, err)
	}
	if len(b) < 0x210 || string(b[0x202:0x206]) != "HdrS" {
		return "", fmt.Errorf("%s=%s is no x86 kernel image", kernelEnv, image)
	}
	at := int(binary.LittleEndian.Uint16(b[0x20e:])) + 0x200
	if at >= len(b) {
		return "", fmt.Errorf("%s=%s has no version", kernelEnv, image)
	}
	version, _, _ := bytes.Cut(b[at:], []byte(" "))
	return string(version), nil
}

// command runs a program whose output matters only when it fails.
func command(dir, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// systemProgram finds a program where users have no search path to.
func systemProgram(name string) string {
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if path := filepath.Join(dir, name); isFile(path) {
			return path
		}
	}
	return name
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
