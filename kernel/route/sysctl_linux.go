package route

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"pbr/kernel/internal/fault"
)

// sysctlFile returns the file of a setting. It only accepts paths below net/, because each network
// namespace has its own values of these.
func sysctlFile(path string) (string, error) {
	if !strings.HasPrefix(path, "net/") {
		return "", fmt.Errorf("sysctl %q is not below net/", path)
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." || part == ".." || strings.ContainsRune(part, 0) {
			return "", fmt.Errorf("sysctl %q is not a path below net/", path)
		}
	}
	return "/proc/sys/" + path, nil
}

// ReadSysctl reads a setting of the calling thread's network namespace, such as
// "net/ipv4/ip_forward". The value has no newline.
func ReadSysctl(path string) (string, error) {
	file, err := sysctlFile(path)
	if err != nil {
		return "", err
	}
	text, err := readSetting(file)
	if err != nil {
		return "", fmt.Errorf("reading sysctl: %w", &os.PathError{Op: "read", Path: file, Err: err})
	}
	return strings.TrimSpace(text), nil
}

// readSetting reads a file of a line. Package os asks whether a file can be waited for, how large
// it is, and whether there is more of it: a command that reads fifty of them takes half as long
// without.
func readSetting(file string) (string, error) {
	fd, err := again(func() (int, error) { return unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var line [settingSize]byte
	n, err := again(func() (int, error) { return unix.Read(fd, line[:]) })
	if n == settingSize {
		err = unix.EFBIG
	}
	return string(line[:max(n, 0)]), err
}

// settingSize is more than the longest setting of a line has.
const settingSize = 512

// again repeats what a signal interrupted.
func again(do func() (int, error)) (n int, err error) {
	for {
		if n, err = do(); err != unix.EINTR {
			return n, err
		}
	}
}

// WriteSysctl changes a setting of the calling thread's network namespace. It never creates a file.
func WriteSysctl(path, value string) error {
	file, err := sysctlFile(path)
	if err != nil {
		return err
	}
	if err := fault.At("before a setting"); err != nil {
		return fmt.Errorf("setting sysctl %s to %s: %w", path, value, err)
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return fmt.Errorf("setting sysctl to %s: %w", value, err)
	}
	_, err = f.WriteString(value)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("setting sysctl %s to %s: %w", path, value, err)
	}
	return fault.At("after a setting")
}

// Dependents returns the settings that the kernel overwrites when a setting is changed to value,
// with the values that it writes: net.ipv4.ip_forward and net.ipv6.conf.all.forwarding are written
// to every interface's forwarding, and the former also decides whether redirects are accepted
// (inet_forward_change, net/ipv4/devinet.c; addrconf_forward_change, net/ipv6/addrconf.c).
func Dependents(path, value string) map[string]string {
	out := map[string]string{}
	switch path {
	case "net/ipv4/ip_forward":
		out["net/ipv4/conf/all/accept_redirects"] = map[bool]string{true: "1", false: "0"}[value == "0"]
	case "net/ipv6/conf/all/forwarding":
	default:
		return nil
	}
	conf := strings.Join(strings.Split(path, "/")[:2], "/") + "/conf/"
	interfaces, err := os.ReadDir("/proc/sys/" + conf)
	if err != nil {
		return out
	}
	for _, i := range interfaces {
		if i.Name() != "all" {
			out[conf+i.Name()+"/forwarding"] = value
		}
	}
	return out
}
