package healthcheck

import (
	"os"
	"strings"
)

// ResolvConf names the system's resolvers (resolv.conf(5)).
const ResolvConf = "/etc/resolv.conf"

// NameServers returns the servers that a file lists (resolv.conf(5)), in its order.
func NameServers(file string) (servers []string, err error) {
	text, err := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "nameserver" {
			servers = append(servers, f[1])
		}
	}
	return servers, err
}
