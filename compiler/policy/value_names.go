package policy

import (
	"fmt"
	"net/netip"
	"strings"
)

// validName reports whether v can name an object: [A-Za-z0-9][A-Za-z0-9_.-]{0,31}.
func validName(v string) bool {
	if v == "" || len(v) > 32 {
		return false
	}
	for i := range len(v) {
		c := v[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && (i == 0 || c != '_' && c != '.' && c != '-') {
			return false
		}
	}
	return true
}

// isReserved reports whether a name means something else to ip or to the policy file.
func isReserved(v string) bool {
	switch v {
	case "default", "main", "local", "unspec", "off":
		return true
	}
	return false
}

// checkInterface returns what is wrong with an interface's name (dev_valid_name in the kernel's
// net/core/dev.c: 1..15 bytes without "/", ":" or white space, not "." or ".."). The kernel would
// take 192.0.2.1 as a name, but nobody means it.
func checkInterface(v string) *fault {
	switch {
	case v == "":
		return badValue("", "an interface name is empty")
	case addressLike(v):
		return badValue(`write an interface, such as "eth1"; addresses go into src and dst`, "%q is an address, not an interface", v)
	case len(v) > 15:
		return badValue("interface names have at most 15 bytes", "invalid interface name %q", v)
	case strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' }):
		return badValue("rename the interface: nft cannot quote it", "%q has a character that no policy can name", v)
	case v == "." || v == ".." || strings.ContainsAny(v, "/: \t\n\v\f\r"):
		return badValue("", "invalid interface name %q", v)
	}
	return nil
}

// addressLike reports whether v is an address or a prefix.
func addressLike(v string) bool {
	bare, _, _ := strings.Cut(v, "/")
	_, err := netip.ParseAddr(bare)
	return err == nil
}

// checkPattern is checkInterface for names that may end in "*".
func checkPattern(v string) *fault {
	bare := strings.TrimSuffix(v, "*")
	if strings.Contains(bare, "*") {
		return badValue(fmt.Sprintf("write %q", bare[:strings.Index(bare, "*")]+"*"), `%q has a "*" that is not at its end`, v)
	}
	if bare == "" && v == "*" {
		return badValue(`leave the key out, or name them by how they begin, as "wg*"`, `"*" alone is every interface`)
	}
	return checkInterface(bare)
}

// parseMAC reads six hexadecimal bytes separated by ":" or "-".
func parseMAC(v string) ([6]byte, *fault) {
	var mac [6]byte
	parts := strings.Split(strings.ReplaceAll(v, "-", ":"), ":")
	ok := len(parts) == 6
	for i := 0; ok && i < 6; i++ {
		n, good := hexByte(parts[i])
		mac[i], ok = n, good
	}
	if !ok {
		return mac, badValue(`write six bytes, as "52:54:00:12:34:56"`, "invalid MAC address %q", v)
	}
	return mac, nil
}

func hexByte(v string) (byte, bool) {
	if len(v) != 2 {
		return 0, false
	}
	var n byte
	for i := range 2 {
		switch c := v[i] | 0x20; {
		case v[i] >= '0' && v[i] <= '9':
			n = n<<4 | (v[i] - '0')
		case c >= 'a' && c <= 'f':
			n = n<<4 | (c - 'a' + 10)
		default:
			return 0, false
		}
	}
	return n, true
}
