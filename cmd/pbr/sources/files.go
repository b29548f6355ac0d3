package sources

import (
	"context"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	// fileQuiet is how long nothing may happen to a file before it is reported, so that several
	// writes are one change.
	fileQuiet = 50 * time.Millisecond
	// fileLook is between two tries to watch a directory that is not there, and fileBuffer has room
	// for some hundred events.
	fileLook   = time.Second
	fileBuffer = 64 << 10
)

// Files tells of files that were changed and are complete again.
type Files struct {
	log     *slog.Logger
	follow  chan []string
	changed chan []string
}

// WatchFiles begins to watch files, until ctx ends: first none.
func WatchFiles(ctx context.Context, log *slog.Logger) *Files {
	f := &Files{log: log, follow: make(chan []string), changed: make(chan []string)}
	go f.run(ctx)
	return f
}

// Follow says which files are watched from now on, by absolute paths.
func (f *Files) Follow(ctx context.Context, files []string) {
	select {
	case f.follow <- files:
	case <-ctx.Done():
	}
}

// Changed returns which files have another content, or may have.
func (f *Files) Changed() <-chan []string { return f.changed }

// fileWatch is what run knows.
type fileWatch struct {
	log *slog.Logger
	// events come from dirs, whose directories are watched; nil before any file is followed.
	dirs   *directories
	events chan []fileEvent
	// names are the files that are followed, by each path at which they can be seen to change: that
	// of a link's target, too.
	names map[string][]string
	// missing are directories that could not be watched.
	missing map[string]bool
	// open are the files that are being written, ready those that were and are complete.
	open, ready map[string]bool
}

func (f *Files) run(ctx context.Context) {
	w := &fileWatch{log: f.log, open: map[string]bool{}, ready: map[string]bool{}}
	defer w.close()
	quiet := time.NewTimer(0)
	look := time.NewTicker(fileLook)
	defer look.Stop()
	due := false
	for {
		var out chan []string
		list := w.complete()
		if due && len(list) > 0 {
			out = f.changed
		}
		var again <-chan time.Time
		if len(w.missing) > 0 { // else nobody is woken for it
			again = look.C
		}
		select {
		case <-ctx.Done():
			return
		case files := <-f.follow:
			if w.follow(files) {
				due = false
				quiet.Reset(fileQuiet)
			}
		case events := <-w.events:
			if w.take(events) {
				due = false
				quiet.Reset(fileQuiet)
			}
		case <-quiet.C:
			due = true
		case <-again:
			if w.again() {
				due = false
				quiet.Reset(fileQuiet)
			}
		case out <- list:
			for _, name := range list {
				delete(w.ready, name)
			}
		}
	}
}

func (w *fileWatch) close() {
	if w.dirs != nil {
		_ = w.dirs.close()
	}
}

// complete are the files to tell of: those that nobody writes.
func (w *fileWatch) complete() (list []string) {
	for name := range w.ready {
		if !w.open[name] {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// follow begins again with other files; it reports whether there are some. They may have changed
// since they were read, and before they were watched.
func (w *fileWatch) follow(files []string) (begun bool) {
	names := map[string][]string{}
	for _, file := range files {
		names[file] = append(names[file], file)
		if target, err := filepath.EvalSymlinks(file); err == nil && target != file {
			names[target] = append(names[target], file)
		}
	}
	if w.dirs != nil && maps.EqualFunc(w.names, names, slices.Equal) {
		return false
	}
	w.close()
	w.dirs, w.events, w.names, w.missing = nil, nil, names, map[string]bool{}
	clear(w.ready)
	clear(w.open)
	if len(names) == 0 {
		return false
	}
	dirs, err := watchDirectories()
	if err != nil {
		w.log.Warn("list files that change are read at the next reload only", "error", err)
		return false
	}
	w.dirs, w.events = dirs, make(chan []fileEvent)
	seen := map[string]bool{}
	for path := range names {
		if dir := filepath.Dir(path); !seen[dir] {
			seen[dir] = true
			if err := dirs.add(dir); err != nil {
				w.missing[dir] = true
				w.log.Warn("list files that change are not seen for now", "error", err)
			}
		}
	}
	go read(dirs, w.events)
	for _, file := range files {
		if _, err := os.Stat(file); err == nil {
			w.ready[file] = true
		}
	}
	return true
}

// read hands events on until the directories are closed. Nobody may take the last ones.
func read(dirs *directories, out chan<- []fileEvent) {
	b := make([]byte, fileBuffer)
	for {
		events, err := dirs.next(b)
		if err != nil {
			return
		}
		select {
		case out <- events:
		case <-time.After(time.Minute): // of directories that nobody follows any more
			return
		}
	}
}

// take notes what happened; it reports whether that concerns a file that is followed.
func (w *fileWatch) take(events []fileEvent) (concerned bool) {
	for _, e := range events {
		if e.lost {
			w.lost(e.path)
			concerned = true
			continue
		}
		for _, name := range w.names[e.path] {
			concerned = true
			if w.open[name] = !e.complete; e.complete {
				w.ready[name] = true
			}
		}
	}
	return concerned
}

// lost notes that a directory is gone, or that events were lost: whatever is in it may have
// changed.
func (w *fileWatch) lost(dir string) {
	for path, names := range w.names {
		if parent := filepath.Dir(path); dir == "" || parent == dir {
			w.missing[parent] = true
			for _, name := range names {
				w.open[name] = false
			}
		}
	}
}

// again tries to watch directories that were missing; it reports whether there are some now.
func (w *fileWatch) again() (found bool) {
	for dir := range w.missing {
		if _, err := os.Stat(dir); err != nil || w.dirs.add(dir) != nil {
			continue
		}
		delete(w.missing, dir)
		for path, names := range w.names {
			if _, err := os.Stat(path); filepath.Dir(path) != dir || err != nil {
				continue
			}
			for _, name := range names {
				w.ready[name], found = true, true
			}
		}
	}
	return found
}
