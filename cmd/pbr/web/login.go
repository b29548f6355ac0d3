//go:build !small

package web

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	cookieName = "pbr-session"
	// sessionTime is how long a login lasts, maxSessions how many there are at a time.
	sessionTime = 12 * time.Hour
	maxSessions = 64
	// minToken is the shortest token in characters, maxToken the longest file in bytes.
	minToken, maxToken = 16, 4096
	// loginTries are the wrong tokens of one address that are answered at once; one more each
	// loginPause.
	loginTries = 5
	loginPause = 10 * time.Second
	// maxAddresses bounds what is remembered of those who try.
	maxAddresses = 1024
)

// ReadToken reads a token file. Others than its owner must not be able to read it.
func ReadToken(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", fmt.Errorf("token-file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", fmt.Errorf("token-file: %w", err)
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("token-file %s: not a regular file", path)
	case info.Mode().Perm()&0o077 != 0:
		return "", fmt.Errorf("token-file %s: mode %04o lets others read it: chmod 600 %s", path, info.Mode().Perm(), path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxToken))
	if err != nil {
		return "", fmt.Errorf("token-file: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if len(token) < minToken {
		return "", fmt.Errorf("token-file %s: %d characters, and %d are needed: openssl rand -hex 16 > %s", path,
			len(token), minToken, path)
	}
	return token, nil
}

// sessions are the logins.
type sessions struct {
	mu   sync.Mutex
	list map[string]time.Time // until when
	// tries are those who gave a wrong token, by address; all limits them together.
	tries map[string]*bucket
	all   *bucket
}

func newSessions() *sessions {
	return &sessions{list: map[string]time.Time{}, tries: map[string]*bucket{}, all: newBucket(20, time.Second)}
}

// begin makes a login; the oldest makes room.
func (s *sessions) begin(now time.Time) string {
	id := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.list) >= maxSessions {
		first := ""
		for k, until := range s.list {
			if first == "" || until.Before(s.list[first]) {
				first = k
			}
		}
		delete(s.list, first)
	}
	s.list[key(id)] = now.Add(sessionTime)
	return id
}

// key is what is kept of a session: a look-up by it tells nothing of the session by the time that
// it takes.
func key(id string) string { sum := sha256.Sum256([]byte(id)); return string(sum[:]) }

func (s *sessions) valid(id string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	until, known := s.list[key(id)]
	return known && now.Before(until)
}

func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.list, key(id))
}

// mayTry reports whether an address may try a token.
func (s *sessions) mayTry(address string, now time.Time) bool {
	s.mu.Lock()
	if s.tries[address] == nil {
		if len(s.tries) >= maxAddresses {
			clear(s.tries)
		}
		s.tries[address] = newBucket(loginTries, loginPause)
	}
	b := s.tries[address]
	s.mu.Unlock()
	return b.allow(now) && s.all.allow(now)
}

// loggedIn lets those who logged in pass, and shows everybody else the form.
func (s *Server) loggedIn(next http.Handler) http.Handler {
	if s.Token == "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := r.Cookie(cookieName)
		if err == nil && s.sessions.valid(c.Value, s.now()) {
			next.ServeHTTP(w, r)
			return
		}
		if r.Method != http.MethodGet || strings.HasPrefix(r.URL.Path, "/live") {
			http.Error(w, "log in first", http.StatusUnauthorized)
			return
		}
		s.showLogin(w, r, http.StatusUnauthorized, "")
	})
}

func (s *Server) showLogin(w http.ResponseWriter, r *http.Request, status int, wrong string) {
	s.write(w, r, status, "login", page{Title: "Log in", Data: wrong})
}

// login takes the token.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	if s.Token == "" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	if !s.sessions.mayTry(clientOf(r), s.now()) {
		w.Header().Set("Retry-After", "10")
		s.showLogin(w, r, http.StatusTooManyRequests, "Too many tries: wait ten seconds.")
		return
	}
	given, wanted := sha256.Sum256([]byte(strings.TrimSpace(r.PostFormValue("token")))), sha256.Sum256([]byte(s.Token))
	if subtle.ConstantTimeCompare(given[:], wanted[:]) != 1 {
		s.Log.Warn("web: a wrong token was given", "client", clientOf(r))
		s.showLogin(w, r, http.StatusUnauthorized, "This is not the token.")
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: s.sessions.begin(s.now()), Path: "/", MaxAge: int(sessionTime.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.Header.Get("X-Forwarded-Proto") == "https",
	})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(cookieName); err == nil {
		s.sessions.end(c.Value)
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// clientOf is the address that a request comes from: a proxy's, where there is one, so that its
// visitors share their tries.
func clientOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return "local"
	}
	return host
}
