//go:build !small

package web

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pbr/integration/steps"
)

func TestLogin(t *testing.T) {
	f, now := newFake(), time.Now()
	s := server(t, f, func(o *Options) {
		o.Token = "correct-horse-battery"
		o.Now = func() time.Time { return now }
	})
	for _, path := range append(views, "/live?view=lines") {
		t.Run(path, func(t *testing.T) {
			w := ask(s, "GET", path, "", nil)
			if w.Code != http.StatusUnauthorized || strings.Contains(w.Body.String(), "isp1") {
				t.Errorf("%s without a login: %d", path, w.Code)
			}
		})
	}
	t.Run("without a login no question is asked", func(t *testing.T) {
		if w := ask(s, "POST", "/why", "src=1.1.1.1&dst=9.9.9.9", nil); w.Code != http.StatusUnauthorized || len(f.asked) != 0 {
			t.Errorf("a question without a login: %d, %q", w.Code, f.asked)
		}
	})
	t.Run("the login has its style", func(t *testing.T) {
		if w := ask(s, "GET", "/static/style.css", "", nil); w.Code != 200 {
			t.Errorf("the login's style: %d", w.Code)
		}
	})
	cookie := func(token string, proxy bool) *http.Cookie {
		w := ask(s, "POST", "/login", url.Values{"token": {token}}.Encode(), func(r *http.Request) {
			if proxy {
				r.Header.Set("X-Forwarded-Proto", "https")
			}
		})
		if got := w.Result().Cookies(); w.Code == http.StatusSeeOther && len(got) == 1 {
			return got[0]
		}
		return nil
	}
	c := cookie(" correct-horse-battery\n", false)
	if c == nil || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure || c.Value == "" {
		t.Fatalf("cookie %+v", c)
	}
	step := steps.Of(t)
	step.Run("behind TLS the cookie is for TLS alone", func(t *testing.T) {
		if secure := cookie("correct-horse-battery", true); secure == nil || !secure.Secure {
			t.Errorf("behind TLS: %+v", secure)
		}
	})
	with := func(r *http.Request) { r.AddCookie(c) }
	step.Run("with the cookie it answers", func(t *testing.T) {
		if w := ask(s, "GET", "/", "", with); w.Code != 200 {
			t.Errorf("with a login: %d", w.Code)
		}
	})
	step.Run("a guess is not a login", func(t *testing.T) {
		if w := ask(s, "GET", "/", "",
			func(r *http.Request) { r.AddCookie(&http.Cookie{Name: cookieName, Value: "guess"}) }); w.Code != http.StatusUnauthorized {
			t.Errorf("with a guess: %d", w.Code)
		}
	})
	step.Run("a session ends", func(t *testing.T) {
		now = now.Add(sessionTime)
		if w := ask(s, "GET", "/", "", with); w.Code != http.StatusUnauthorized {
			t.Errorf("after %v: %d", sessionTime, w.Code)
		}
	})
	step.Run("logging out ends it at once", func(t *testing.T) {
		c = cookie("correct-horse-battery", false)
		ask(s, "POST", "/logout", "", with)
		if w := ask(s, "GET", "/", "", with); w.Code != http.StatusUnauthorized {
			t.Errorf("after logging out: %d", w.Code)
		}
	})
}

// Wrong tokens are answered slower and slower; who has the right one waits for it, too.
func TestLoginRate(t *testing.T) {
	now := time.Now()
	s := server(t, newFake(), func(o *Options) {
		o.Token = "correct-horse-battery"
		o.Now = func() time.Time { return now }
	})
	try := func(token string) int { return ask(s, "POST", "/login", "token="+token, nil).Code }
	for i := range loginTries {
		t.Run(fmt.Sprint("wrong ", i), func(t *testing.T) {
			if got := try("wrong"); got != http.StatusUnauthorized {
				t.Errorf("try %d: %d", i, got)
			}
		})
	}
	step := steps.Of(t)
	step.Run("then even the right one has to wait", func(t *testing.T) {
		if got := try("correct-horse-battery"); got != http.StatusTooManyRequests {
			t.Errorf("after %d tries: %d", loginTries, got)
		}
	})
	step.Run("after a pause it is taken", func(t *testing.T) {
		now = now.Add(loginPause)
		if got := try("correct-horse-battery"); got != http.StatusSeeOther {
			t.Errorf("after a pause: %d", got)
		}
	})
}

func TestReadToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	for _, c := range []struct {
		text string
		mode os.FileMode
		want string
	}{
		{"0123456789abcdef\n", 0o600, ""}, {"0123456789abcdef", 0o400, ""},
		{"0123456789abcdef", 0o640, "lets others read it: chmod 600"}, {"short", 0o600, "5 characters, and 16 are needed"},
	} {
		t.Run(c.text, func(t *testing.T) {
			_ = os.Remove(file)
			if err := os.WriteFile(file, []byte(c.text), c.mode); err != nil {
				t.Fatal(err)
			}
			token, err := ReadToken(file)
			if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) || err == nil &&
				token != "0123456789abcdef" {
				t.Errorf("%q, %o: %q, %v", c.text, c.mode, token, err)
			}
		})
	}
	if _, err := ReadToken(t.TempDir()); err == nil {
		t.Error("a directory is a token")
	}
}
