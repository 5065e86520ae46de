package reshard

import (
	"strings"
	"testing"
)

// sample is what pg_dump writes, shortened.
const sample = `--
-- PostgreSQL database dump
--

\restrict abc

SET statement_timeout = 0;
SET default_table_access_method = heap;

--
-- Name: users; Type: TABLE; Schema: public; Owner: me
--

CREATE TABLE public.users (
    id integer NOT NULL,
    "Id" smallint,
    parent_id integer,
    idx integer
);


ALTER TABLE public.users OWNER TO me;

--
-- Name: users_id_seq; Type: SEQUENCE; Schema: public; Owner: me
--

CREATE SEQUENCE public.users_id_seq
    AS integer
    START WITH 1
    CACHE 1;


SET default_tablespace = '';

--
-- Name: users users_pkey; Type: CONSTRAINT; Schema: public; Owner: me
--

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);


--
-- Name: users users_email_key; Type: CONSTRAINT; Schema: public; Owner: me
--

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_email_key UNIQUE (email);


--
-- Name: users fk; Type: FK CONSTRAINT; Schema: public; Owner: me
--

ALTER TABLE ONLY public.users
    ADD CONSTRAINT fk FOREIGN KEY (parent_id) REFERENCES public.users(id);


--
-- Name: EXTENSION x; Type: COMMENT; Schema: -; Owner: 
--

COMMENT ON EXTENSION x IS 'y';


\unrestrict abc

--
-- PostgreSQL database dump complete
--

`

func TestEntries(t *testing.T) {
	t.Parallel()
	all, err := entries(sample)
	if err != nil {
		t.Fatal(err)
	}
	w := &wide{columns: map[name][][2]string{{"public", "users"}: {{"id", "integer"}, {"Id", "smallint"}, {"parent_id", "integer"}}}, sequences: map[name]bool{{"public", "users_id_seq"}: true}}
	var got []string
	for i := range all {
		e := &all[i]
		changed := w.widen(e)
		if changed != (e.kind == "TABLE") {
			t.Errorf("%s: widened is %v", e.name, changed)
		}
		got = append(got, string(phaseOf(e))+" "+e.kind+" "+e.schema+"."+e.name+" "+e.sql)
	}
	want := []string{
		"pre TABLE public.users CREATE TABLE public.users (\n    id bigint NOT NULL,\n    \"Id\" bigint,\n    parent_id bigint,\n    idx integer\n);\n\n\nALTER TABLE public.users OWNER TO me;",
		"pre SEQUENCE public.users_id_seq CREATE SEQUENCE public.users_id_seq\n    START WITH 1\n    CACHE 1;",
		"pre CONSTRAINT public.users users_pkey ALTER TABLE ONLY public.users\n    ADD CONSTRAINT users_pkey PRIMARY KEY (id);",
		"post CONSTRAINT public.users users_email_key ALTER TABLE ONLY public.users\n    ADD CONSTRAINT users_email_key UNIQUE (email);",
		"post FK CONSTRAINT public.users fk ALTER TABLE ONLY public.users\n    ADD CONSTRAINT fk FOREIGN KEY (parent_id) REFERENCES public.users(id) NOT VALID;",
		"pre COMMENT .EXTENSION x COMMENT ON EXTENSION x IS 'y';",
	}
	if a, b := strings.Join(got, "\n---\n"), strings.Join(want, "\n---\n"); a != b {
		t.Errorf("got\n%s\nwant\n%s", a, b)
	}
	if _, err := entries("CREATE TABLE x ();"); err == nil {
		t.Error("a dump without headings was taken")
	}
}

// FuzzEntries takes any text apart, without losing what stands below a heading.
func FuzzEntries(f *testing.F) {
	f.Add(sample)
	f.Add("--\n-- Name: ; Type: TABLE; Schema: -; Owner: \n--\n")
	f.Add("--\n-- Name: a; Type: TABLE; Schema: b; Owner: c\n--\nx\n--\n-- Name: d; Type: INDEX; Schema: -; Owner: \n--\ny")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := entries(text)
		if err != nil {
			return
		}
		for i := range all {
			if !strings.Contains(text, all[i].kind) || all[i].sql == "" {
				t.Errorf("%q became %+v", text, all[i])
			}
			phaseOf(&all[i])
			(&wide{columns: map[name][][2]string{{all[i].schema, all[i].name}: {{"id", "integer"}}}}).widen(&all[i])
		}
	})
}
