package doctor

import (
	"io/fs"
	"path"
	"slices"
	"strings"

	"pbr/kernel/facts"
)

// networkdDirs are where networkd.conf is searched; the first one wins (networkd.conf(5)).
var networkdDirs = []string{"etc/systemd", "run/systemd", "usr/local/lib/systemd", "usr/lib/systemd", "lib/systemd"}

// ReadNetworkd reads systemd-networkd's configuration. Both settings default to yes; drop-ins are
// read after the file, in the order of their names, and one in an earlier folder hides those of the
// same name in later ones.
func ReadNetworkd(root fs.FS) facts.Networkd {
	n := facts.Networkd{RemovesRules: true, RemovesRoutes: true}
	for _, dir := range networkdDirs {
		if b, err := fs.ReadFile(root, path.Join(dir, "networkd.conf")); err == nil {
			applyNetworkd(&n, string(b))
			break
		}
	}
	files := map[string]string{}
	for _, dir := range networkdDirs {
		found, _ := fs.Glob(root, path.Join(dir, "networkd.conf.d/*.conf")) // only a bad pattern is an error
		for _, f := range found {
			if _, hidden := files[path.Base(f)]; !hidden {
				files[path.Base(f)] = f
			}
		}
	}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if b, err := fs.ReadFile(root, files[name]); err == nil {
			applyNetworkd(&n, string(b))
		}
	}
	return n
}

// applyNetworkd takes over what one file says in [Network].
func applyNetworkd(n *facts.Networkd, text string) {
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = line
		}
		key, value, found := strings.Cut(line, "=")
		if section != "[Network]" || !found {
			continue
		}
		yes := !slices.Contains([]string{"no", "false", "off", "0", "n", "f"}, strings.ToLower(strings.TrimSpace(value)))
		switch strings.TrimSpace(key) {
		case "ManageForeignRoutingPolicyRules":
			n.RemovesRules = yes
		case "ManageForeignRoutes":
			n.RemovesRoutes = yes
		}
	}
}
