package kernel

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// apart runs f on a thread of its own, which ends with f, so that f may leave it in another network
// namespace. The thread is never the first one of the process: that one does not end, and /proc/PID
// shows its namespace as the process's.
func apart(f func()) {
	done := make(chan struct{})
	var run func()
	run = func() {
		runtime.LockOSThread() // not unlocked after f: the thread ends with the goroutine
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread()
			go run() // while this one holds the first thread, on another
			<-done
			return
		}
		defer close(done)
		f()
	}
	go run()
	<-done
}
