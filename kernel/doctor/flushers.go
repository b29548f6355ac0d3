package doctor

import (
	"io/fs"
	"path"
	"slices"
	"strings"

	"pbr/kernel/facts"
)

// unitDirs are where systemd looks for units; the first one wins (systemd.unit(5)).
var unitDirs = []string{"etc/systemd/system", "run/systemd/system", "usr/local/lib/systemd/system",
	"usr/lib/systemd/system", "lib/systemd/system"}

// ReadFlushers returns the enabled units that flush the whole ruleset: with a command of their own,
// or with a file that nft reads.
func ReadFlushers(root fs.FS) (out []facts.Flusher) {
	for _, unit := range enabledUnits(root) {
		for line := range strings.Lines(readUnit(root, unit)) {
			key, command, found := strings.Cut(strings.TrimSpace(line), "=")
			if !found || !strings.HasPrefix(key, "Exec") {
				continue
			}
			f := facts.Flusher{Unit: unit}
			flushes := flushesRuleset(command)
			if file := nftFile(command); file != "" && !flushes {
				text, _ := fs.ReadFile(root, strings.TrimPrefix(file, "/"))
				f.File, flushes = file, fileFlushes(string(text))
			}
			if flushes {
				out = append(out, f)
				break
			}
		}
	}
	return out
}

// enabledUnits are the services that another unit wants or requires, sorted.
func enabledUnits(root fs.FS) (units []string) {
	for _, pattern := range []string{"etc/systemd/system/*.wants/*.service", "etc/systemd/system/*.requires/*.service"} {
		found, _ := fs.Glob(root, pattern) // only a bad pattern is an error
		for _, f := range found {
			units = append(units, path.Base(f))
		}
	}
	slices.Sort(units)
	return slices.Compact(units)
}

// readUnit returns a unit's file, followed by its drop-ins.
func readUnit(root fs.FS, unit string) (text string) {
	for _, dir := range unitDirs {
		if b, err := fs.ReadFile(root, path.Join(dir, unit)); err == nil {
			text = string(b)
			break
		}
	}
	for _, dir := range unitDirs {
		found, _ := fs.Glob(root, path.Join(dir, unit+".d/*.conf"))
		for _, f := range found {
			b, _ := fs.ReadFile(root, f)
			text += "\n" + string(b)
		}
	}
	return text
}

// nftFile returns the file that a command passes to nft; empty if there is none.
func nftFile(command string) string {
	fields := strings.Fields(command)
	if len(fields) == 0 || path.Base(strings.TrimLeft(fields[0], "-@+!:|")) != "nft" {
		return ""
	}
	for i, word := range fields[1:] {
		if (word == "-f" || word == "--file") && i+2 < len(fields) {
			return fields[i+2]
		}
	}
	return ""
}

func flushesRuleset(text string) bool {
	return strings.Contains(strings.Join(strings.Fields(text), " "), "flush ruleset")
}

// fileFlushes reports whether a file for nft flushes everything, outside of comments.
func fileFlushes(text string) bool {
	for line := range strings.Lines(text) {
		before, _, _ := strings.Cut(line, "#")
		if flushesRuleset(before) {
			return true
		}
	}
	return false
}
