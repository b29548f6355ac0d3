package tomltree

import (
	"strconv"
	"strings"
	"time"
)

// The three readings of a text that tests compare, ours, BurntSushi's and the corpus' own, are
// brought to one form: maps, slices, strings, int64, bool, and these.
type (
	// number is a float, written so that NaN is itself and -0 is not 0.
	number string
	// moment is a date, a time or both.
	moment struct{ kind, text string }
)

func asNumber(v float64) number { return number(strconv.FormatFloat(v, 'g', -1, 64)) }

func asMoment(kind string, t time.Time) moment {
	return moment{kind, t.Format("2006-01-02T15:04:05.999999999Z07:00")}
}

// momentKinds are the forms of dates and times, by their layouts.
var momentKinds = []struct{ layout, kind string }{
	{"2006-01-02T15:04:05Z07:00", "datetime"}, {"2006-01-02T15:04Z07:00", "datetime"},
	{"2006-01-02T15:04:05", "datetime-local"}, {"2006-01-02T15:04", "datetime-local"},
	{"2006-01-02", "date-local"},
	{"15:04:05", "time-local"}, {"15:04", "time-local"},
}

func parseMoment(text string) any {
	text = strings.ToUpper(strings.Replace(text, " ", "T", 1))
	for _, k := range momentKinds {
		if t, err := time.Parse(k.layout, text); err == nil {
			return asMoment(k.kind, t)
		}
	}
	return "no date or time: " + text
}

func parseNumber(text string) any {
	text = strings.ReplaceAll(text, "_", "")
	if strings.HasSuffix(text, "nan") {
		text = "nan" // strconv knows no signed one
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil && v == 0 {
		return err.Error()
	}
	return asNumber(v)
}

// plain returns what we have read.
func plain(n *Node) any {
	switch n.Kind {
	case String:
		return n.Text
	case Integer:
		return n.Int()
	case Float:
		return parseNumber(n.Text)
	case Bool:
		return n.Bool()
	case Datetime:
		return parseMoment(n.Text)
	case Array:
		list := []any{}
		for i := range *n.Items {
			list = append(list, plain(&(*n.Items)[i]))
		}
		return list
	}
	return plainFields(n.Fields)
}

func plainFields(f *Fields) map[string]any {
	m := map[string]any{}
	for i := range f.List {
		m[f.List[i].Key] = plain(&f.List[i].Value)
	}
	return m
}

// plainOther returns what BurntSushi has read.
func plainOther(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := map[string]any{}
		for k, e := range v {
			m[k] = plainOther(e)
		}
		return m
	case []map[string]any:
		list := []any{}
		for _, e := range v {
			list = append(list, plainOther(e))
		}
		return list
	case []any:
		list := []any{}
		for _, e := range v {
			list = append(list, plainOther(e))
		}
		return list
	case float64:
		return asNumber(v)
	case time.Time:
		kind := v.Location().String()
		if !strings.HasSuffix(kind, "-local") {
			return asMoment("datetime", v)
		}
		return asMoment(kind, time.Date(v.Year(), v.Month(), v.Day(), v.Hour(), v.Minute(), v.Second(), v.Nanosecond(), time.UTC))
	}
	return v
}

// plainTagged returns what the corpus says: scalars are { "type": ..., "value": ... }.
func plainTagged(v any) any {
	switch v := v.(type) {
	case []any:
		list := []any{}
		for _, e := range v {
			list = append(list, plainTagged(e))
		}
		return list
	case map[string]any:
		kind, typed := v["type"].(string)
		text, ok := v["value"].(string)
		if typed && ok && len(v) == 2 {
			return plainScalar(kind, text)
		}
		m := map[string]any{}
		for k, e := range v {
			m[k] = plainTagged(e)
		}
		return m
	}
	return v
}

func plainScalar(kind, text string) any {
	switch kind {
	case "string":
		return text
	case "integer":
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return err.Error()
		}
		return n
	case "bool":
		return text == "true"
	case "float":
		return parseNumber(text)
	}
	return parseMoment(text)
}
