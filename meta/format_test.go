package meta

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestSecrets(t *testing.T) {
	const stored = `{
"Name": "vol",
"UUID": "c3e7e74f-5a08-4d60-875a-4aa1ff862804",
"Storage": "s3",
"Bucket": "http://127.0.0.1:9000/b",
"SecretKey": "EYqL/7SuXPi3RC3c5pFaJE2YBgnXYnHpOBJ8Qc19AGXtGR4VSw==",
"SessionToken": "WCkzfUUOPeEqCbQru/0oeGOBobtL1cvnh0ZWtY29bg==",
"BlockSize": 4096,
"KeyEncrypted": true,
"TrashDays": 1,
"EnableACL": false,
"FieldOfTomorrow": {"a": [1, 2]}
}`
	f, err := DecodeFormat([]byte(stored))
	if err != nil {
		t.Fatal(err)
	}
	if f.SecretKey != "topsecret" || f.SessionToken != "tok" || f.KeyEncrypted {
		t.Errorf("decrypted %q %q", f.SecretKey, f.SessionToken)
	}
	b, err := f.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"topsecret", "tok\""} {
		if strings.Contains(string(b), secret) {
			t.Errorf("stored form shows %q", secret)
		}
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	if string(fields["KeyEncrypted"]) != "true" || !strings.Contains(string(fields["FieldOfTomorrow"]), "2") {
		t.Errorf("stored form %s", b)
	}
	again, err := DecodeFormat(b)
	if err != nil || again.SecretKey != "topsecret" || again.SessionToken != "tok" {
		t.Errorf("decoded again: %+v, %v", again, err)
	}
	if shown, err := json.Marshal(f.WithoutSecrets()); err != nil || strings.Contains(string(shown), "topsecret") || !strings.Contains(string(shown), `"SecretKey":"removed"`) {
		t.Errorf("without secrets: %s, %v", shown, err)
	}
	if f.SecretKey != "topsecret" {
		t.Error("showing a format changed it")
	}
}

func TestStoredFields(t *testing.T) {
	b, err := NewFormat("vol", "c3e7e74f-5a08-4d60-875a-4aa1ff862804").Encode()
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
"Name": "vol",
"UUID": "c3e7e74f-5a08-4d60-875a-4aa1ff862804",
"Storage": "file",
"Tiers": {
"0": {
"ID": 0,
"StorageClass": "",
"Tag": ""
}
},
"Bucket": "/var/jfs/",
"BlockSize": 4096,
"Compression": "none",
"EncryptAlgo": "aes256gcm-rsa",
"TrashDays": 1,
"MetaVersion": 1,
"MinClientVersion": "1.1.0-A",
"DirStats": true,
"EnableACL": false
}`
	if string(b) != want {
		t.Errorf("stored:\n%s\nwant:\n%s", b, want)
	}
}

func TestBrokenFormats(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON":          "hello",
		"no name":          `{"UUID":"x"}`,
		"secret no base64": `{"Name":"vol","UUID":"x","SecretKey":"!","KeyEncrypted":true}`,
		"secret of others": `{"Name":"vol","UUID":"another","SecretKey":"EYqL/7SuXPi3RC3c5pFaJE2YBgnXYnHpOBJ8Qc19AGXtGR4VSw==","KeyEncrypted":true}`,
	} {
		if _, err := DecodeFormat([]byte(text)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := DecodeFormat([]byte(`{"Name":"vol","UUID":"x","SecretKey":"removed","KeyEncrypted":true}`)); err == nil || !strings.Contains(err.Error(), "config") {
		t.Errorf("removed secret: %v", err)
	}
}

func TestVersions(t *testing.T) {
	ordered := []string{"1.0.0", "1.1.0-A", "1.1.0-B", "1.1.0", "1.1.1", "1.4", "1.4.1", "2"}
	for i, a := range ordered {
		for k, b := range ordered {
			got, want := compareVersions(a, b), 0
			if i < k {
				want = -1
			} else if i > k {
				want = 1
			}
			if got != want {
				t.Errorf("%s against %s: %d, want %d", a, b, got, want)
			}
		}
	}
	if compareVersions("1.4.1+jfs-0.1", "1.4.1+unknown") != 0 {
		t.Error("the build part counts")
	}
}

func TestUsable(t *testing.T) {
	good := NewFormat("vol", "x")
	if err := good.Usable(); err != nil {
		t.Errorf("a new format: %v", err)
	}
	for name, edit := range map[string]func(*Format){
		"newer metadata": func(f *Format) { f.MetaVersion = 2 },
		"newer clients":  func(f *Format) { f.MinClientVersion = "9.0.0" },
		"older clients":  func(f *Format) { f.MaxClientVersion = "1.3.0" },
		"change log":     func(f *Format) { f.ChangeLog = true },
		"block size":     func(f *Format) { f.BlockSize = 0 },
	} {
		f := good
		edit(&f)
		if err := f.Usable(); err == nil || !strings.Contains(err.Error(), "vol") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheck(t *testing.T) {
	for name, edit := range map[string]func(*Format){
		"name with a capital": func(f *Format) { f.Name = "Vol" },
		"short name":          func(f *Format) { f.Name = "ab" },
		"block size":          func(f *Format) { f.BlockSize = 100 },
		"small block":         func(f *Format) { f.BlockSize = 32 },
		"large block":         func(f *Format) { f.BlockSize = 32768 },
		"compression":         func(f *Format) { f.Compression = "gzip" },
		"shards":              func(f *Format) { f.Shards = 257 },
		"shards without %d":   func(f *Format) { f.Shards = 2 },
		"trash":               func(f *Format) { f.TrashDays = -1 },
	} {
		f := NewFormat("vol", "x")
		edit(&f)
		if err := f.Check(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestSpace(t *testing.T) {
	var f Format
	if s := f.Space(0, 0); s.TotalBytes != 1<<50 || s.FreeInodes != 10<<20 {
		t.Errorf("an empty volume without limits shows %+v", s)
	}
	if s := f.Space(1<<50, 100<<20); s.TotalBytes != 2<<50 || s.FreeInodes != 40<<20 {
		t.Errorf("a full volume without limits shows %+v", s)
	}
}

func TestTurnOnACL(t *testing.T) {
	for min, want := range map[string]string{"1.1.0-A": "1.2.0-A", "": "1.2.0-A", "1.2.0-A": "1.2.0-A", "1.4.0-A": "1.4.0-A"} {
		f := NewFormat("vol", "x")
		f.MinClientVersion = min
		f.TurnOnACL()
		if !f.EnableACL || f.MinClientVersion != want || f.Usable() != nil {
			t.Errorf("from %q: ACL %v, clients from %q on, %v", min, f.EnableACL, f.MinClientVersion, f.Usable())
		}
	}
}
