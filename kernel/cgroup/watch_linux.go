package cgroup

import (
	"context"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// again is the longest time until the tree is read again without an event: it may be mounted later,
// and a tree of another namespace sends no events.
const again = 700 * time.Millisecond

// events are the inotify events of a directory that change its entries.
const events = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_ONLYDIR

// Watch reports when control groups appear or disappear. The zero value watches nothing.
type Watch struct {
	sources atomic.Pointer[[]plan.CgroupSource]
	wake    atomic.Pointer[chan struct{}]
}

// Set sets what to watch from now on.
func (w *Watch) Set(sources []plan.CgroupSource) {
	old := w.sources.Swap(&sources)
	if old != nil && reflect.DeepEqual(*old, sources) {
		return
	}
	if wake := w.wake.Load(); wake != nil {
		select {
		case *wake <- struct{}{}:
		default:
		}
	}
}

// Sources returns what is watched.
func (w *Watch) Sources() []plan.CgroupSource {
	if s := w.sources.Load(); s != nil {
		return *s
	}
	return nil
}

// Run calls changed whenever the control groups that Set named differ from before, until ctx ends.
// It costs nothing while there are none.
func (w *Watch) Run(ctx context.Context, depth int, changed func()) {
	wake := make(chan struct{}, 1)
	w.wake.Store(&wake)
	var known map[string][]uint64
	for ctx.Err() == nil {
		sources := w.Sources()
		if len(sources) == 0 {
			select {
			case <-wake:
			case <-ctx.Done():
			}
			continue
		}
		tree := newListener(Root(), sources, depth)
		found := Find(tree.root, sources, depth)
		if known != nil && !reflect.DeepEqual(found, known) {
			changed()
		}
		known = found
		tree.wait(ctx, again)
		tree.close()
	}
}

// listener watches the directories in which a control group may appear.
type listener struct {
	root string
	fd   int
}

// newListener starts to watch before anything is looked up, so that no change in between is missed.
func newListener(root string, sources []plan.CgroupSource, depth int) *listener {
	l := &listener{root: root, fd: -1}
	if root == "" {
		return l
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return l
	}
	l.fd = fd
	l.add(root)
	units := false
	for _, s := range sources {
		if units = units || s.Unit; s.Unit {
			continue
		}
		dir := root
		parts := strings.Split(s.Name, "/")
		for _, part := range parts[:len(parts)-1] {
			dir = filepath.Join(dir, part)
			l.add(dir)
		}
	}
	if units {
		walk(root, depth-1, l.add)
	}
	return l
}

// add watches a directory. If the directory does not exist, a watched parent reports its creation.
func (l *listener) add(dir string) { _, _ = unix.InotifyAddWatch(l.fd, dir, events) }

// wait returns at an event, after a time, or shortly after ctx ends.
func (l *listener) wait(ctx context.Context, limit time.Duration) {
	if l.fd < 0 {
		select {
		case <-time.After(limit):
		case <-ctx.Done():
		}
		return
	}
	_, _ = unix.Poll([]unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLIN}}, int(limit.Milliseconds()))
}

func (l *listener) close() {
	if l.fd >= 0 {
		_ = unix.Close(l.fd)
	}
}
