import java.io.*;
import java.math.BigDecimal;
import java.sql.*;
import java.util.*;
import org.postgresql.*;
import org.postgresql.copy.CopyManager;

/** What applications do by JDBC: each check that passes is a line "ok NAME". */
public class Checks {
    interface Check { void run(Connection c) throws Exception; }

    static Connection connect(String... props) throws SQLException {
        Properties p = new Properties();
        p.setProperty("user", System.getenv("PGUSER"));
        if (System.getenv("PGPASSWORD") != null) p.setProperty("password", System.getenv("PGPASSWORD"));
        p.setProperty("sslmode", "disable");
        p.setProperty("loginTimeout", "30");
        for (int i = 0; i + 1 < props.length; i += 2) p.setProperty(props[i], props[i + 1]);
        return DriverManager.getConnection("jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE"), p);
    }

    static void same(Object got, Object want) {
        if (!Objects.equals(got, want)) throw new AssertionError("got " + got + ", want " + want);
    }

    static Object one(Connection c, String sql) throws SQLException {
        try (Statement s = c.createStatement(); ResultSet r = s.executeQuery(sql)) { r.next(); return r.getObject(1); }
    }

    static void fails(String state, Check f, Connection c) throws Exception {
        try { f.run(c); } catch (SQLException e) { same(e.getSQLState(), state); return; }
        throw new AssertionError("no error " + state);
    }

    static void exec(Connection c, String sql) throws SQLException { try (Statement s = c.createStatement()) { s.execute(sql); } }

    static void run(String name, Check f, String... props) {
        try (Connection c = connect(props)) {
            f.run(c);
            System.out.println("ok " + name);
        } catch (Throwable e) {
            System.out.println("not ok " + name + " " + e);
        }
    }

    public static void main(String[] args) throws Exception {
        for (String mode : List.of("extended", "simple", "extendedForPrepared", "extendedCacheEverything")) {
            String[] p = {"preferQueryMode", mode, "prepareThreshold", "2"};
            run("prepared " + mode, c -> {
                try (PreparedStatement s = c.prepareStatement("SELECT ?::int + 1, ?::text")) {
                    for (int i = 0; i < 20; i++) {
                        s.setInt(1, i); s.setString(2, "x" + i);
                        ResultSet r = s.executeQuery(); r.next();
                        same(r.getInt(1), i + 1); same(r.getString(2), "x" + i);
                    }
                }
            }, p);
            run("batch " + mode, c -> {
                exec(c, "CREATE TEMP TABLE b (a int, t text)");
                try (PreparedStatement s = c.prepareStatement("INSERT INTO b VALUES (?, ?)")) {
                    for (int i = 0; i < 3000; i++) { s.setInt(1, i); s.setString(2, "r" + i); s.addBatch(); }
                    same(s.executeBatch().length, 3000);
                }
                same(one(c, "SELECT count(*)::int FROM b"), 3000);
                try (Statement s = c.createStatement()) {
                    s.addBatch("INSERT INTO b VALUES (1)"); s.addBatch("INSERT INTO b VALUES ('x')"); s.addBatch("INSERT INTO b VALUES (2)");
                    try { s.executeBatch(); throw new AssertionError("no error"); } catch (BatchUpdateException e) { same(e.getSQLState(), "22P02"); }
                }
            }, p);
            run("transactions " + mode, c -> {
                exec(c, "CREATE TEMP TABLE t (a int)");
                c.setAutoCommit(false);
                exec(c, "INSERT INTO t VALUES (1)");
                Savepoint sp = c.setSavepoint();
                fails("22P02", x -> exec(x, "INSERT INTO t VALUES ('x')"), c);
                fails("25P02", x -> exec(x, "SELECT 1"), c);
                c.rollback(sp);
                c.commit();
                exec(c, "INSERT INTO t VALUES (2)");
                c.rollback();
                same(one(c, "SELECT count(*)::int FROM t"), 1);
                c.rollback();
                c.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
                same(one(c, "SHOW transaction_isolation"), "serializable");
                c.rollback();
                c.setReadOnly(true);
                fails("25006", x -> exec(x, "CREATE TABLE never (a int)"), c);
                c.rollback();
            }, p);
            run("fetch size " + mode, c -> {
                c.setAutoCommit(false);
                try (Statement s = c.createStatement()) {
                    s.setFetchSize(100);
                    ResultSet r = s.executeQuery("SELECT generate_series(1, 10000)");
                    long sum = 0;
                    while (r.next()) sum += r.getInt(1);
                    same(sum, 50005000L);
                }
                c.commit();
            }, p);
            run("autosave " + mode, c -> {
                c.setAutoCommit(false);
                exec(c, "CREATE TEMP TABLE a (a int)");
                fails("42703", x -> exec(x, "SELECT nothing FROM a"), c);
                exec(c, "INSERT INTO a VALUES (1)");
                c.commit();
                same(one(c, "SELECT count(*)::int FROM a"), 1);
            }, "preferQueryMode", mode, "autosave", "always");
        }
        run("types", c -> {
            try (PreparedStatement s = c.prepareStatement("SELECT ?, ?, ?, ?, ?, ?, ?")) {
                for (int i = 0; i < 8; i++) { // from text to binary
                    s.setLong(1, Long.MIN_VALUE); s.setBigDecimal(2, new BigDecimal("123456789012345678901234567890.5")); s.setDouble(3, 1.5);
                    s.setBoolean(4, true); s.setBytes(5, new byte[] {0, 1, -1}); s.setDate(6, java.sql.Date.valueOf("2024-02-29")); s.setArray(7, c.createArrayOf("text", new String[] {"a", null, "\""}));
                    ResultSet r = s.executeQuery(); r.next();
                    same(r.getLong(1), Long.MIN_VALUE); same(r.getBigDecimal(2), new BigDecimal("123456789012345678901234567890.5")); same(r.getDouble(3), 1.5);
                    same(r.getBoolean(4), true); same(Arrays.toString(r.getBytes(5)), "[0, 1, -1]"); same(r.getDate(6).toString(), "2024-02-29");
                    same(Arrays.toString((Object[]) r.getArray(7).getArray()), "[a, null, \"]");
                }
            }
        });
        run("copy", c -> {
            exec(c, "CREATE TEMP TABLE cp (a int, b text)");
            CopyManager m = c.unwrap(PGConnection.class).getCopyAPI();
            StringBuilder b = new StringBuilder();
            for (int i = 0; i < 20000; i++) b.append(i).append('\t').append("x".repeat(i % 40)).append('\n');
            same(m.copyIn("COPY cp FROM STDIN", new StringReader(b.toString())), 20000L);
            StringWriter w = new StringWriter();
            same(m.copyOut("COPY cp TO STDOUT", w), 20000L);
            same(one(c, "SELECT sum(length(a::text) + length(b) + 2)::int FROM cp"), w.toString().length());
            fails("22P02", x -> m.copyIn("COPY cp FROM STDIN", new StringReader("no\n")), c);
            same(one(c, "SELECT 1"), 1);
        });
        run("listen", c -> {
            exec(c, "LISTEN jays");
            try (Connection o = connect()) { exec(o, "NOTIFY jays, 'hello'"); }
            PGNotification[] n = c.unwrap(PGConnection.class).getNotifications(20000);
            same(n.length, 1); same(n[0].getParameter(), "hello");
        });
        run("cancel", c -> {
            try (Statement s = c.createStatement()) {
                new java.util.Timer(true).schedule(new TimerTask() { public void run() { try { s.cancel(); } catch (SQLException e) { } } }, 300);
                try { s.execute("SELECT pg_sleep(60)"); throw new AssertionError("not cancelled"); } catch (SQLException e) { same(e.getSQLState(), "57014"); }
                s.setQueryTimeout(1);
                try { s.execute("SELECT pg_sleep(60)"); throw new AssertionError("no timeout"); } catch (SQLException e) { same(e.getSQLState(), "57014"); }
            }
            same(one(c, "SELECT 2"), 2);
        });
        run("generated keys", c -> {
            exec(c, "CREATE TEMP TABLE g (id serial, t text)");
            try (PreparedStatement s = c.prepareStatement("INSERT INTO g (t) VALUES (?), (?)", Statement.RETURN_GENERATED_KEYS)) {
                s.setString(1, "a"); s.setString(2, "b");
                same(s.executeUpdate(), 2);
                ResultSet r = s.getGeneratedKeys(); r.next(); same(r.getInt(1), 1); r.next(); same(r.getInt(1), 2);
            }
        });
        run("metadata", c -> {
            exec(c, "CREATE TEMP TABLE md (id int PRIMARY KEY, t text NOT NULL)");
            ResultSet r = c.getMetaData().getColumns(null, null, "md", null);
            List<String> names = new ArrayList<>();
            while (r.next()) names.add(r.getString("COLUMN_NAME"));
            same(names, List.of("id", "t"));
            r = c.getMetaData().getPrimaryKeys(null, null, "md"); r.next(); same(r.getString("COLUMN_NAME"), "id");
        });
        run("errors", c -> {
            exec(c, "CREATE TEMP TABLE e (a int PRIMARY KEY)"); exec(c, "INSERT INTO e VALUES (1)");
            try { exec(c, "INSERT INTO e VALUES (1)"); throw new AssertionError(); } catch (org.postgresql.util.PSQLException e) {
                same(e.getServerErrorMessage().getConstraint(), "e_pkey"); same(e.getSQLState(), "23505");
            }
        });
        run("schema and settings", c -> {
            c.setSchema("pg_catalog"); same(c.getSchema(), "pg_catalog");
            exec(c, "SET statement_timeout = 12345");
            for (int i = 0; i < 5; i++) { same(one(c, "SHOW statement_timeout"), "12345ms"); try (Connection o = connect()) { if ("12345ms".equals(one(o, "SHOW statement_timeout"))) throw new AssertionError("leaked"); } }
        });
        run("updatable", c -> {
            exec(c, "CREATE TEMP TABLE u (id int PRIMARY KEY, t text)"); exec(c, "INSERT INTO u VALUES (1, 'a')");
            try (Statement s = c.createStatement(ResultSet.TYPE_SCROLL_SENSITIVE, ResultSet.CONCUR_UPDATABLE)) {
                ResultSet r = s.executeQuery("SELECT id, t FROM u"); r.next(); r.updateString(2, "b"); r.updateRow();
            }
            same(one(c, "SELECT t FROM u"), "b");
        });
        run("large", c -> {
            try (PreparedStatement s = c.prepareStatement("SELECT length(?::text), ?::text")) {
                String big = "z".repeat(10000000);
                s.setString(1, big); s.setString(2, big);
                ResultSet r = s.executeQuery(); r.next(); same(r.getInt(1), 10000000); same(r.getString(2), big);
            }
            try (Statement s = c.createStatement(); ResultSet r = s.executeQuery("SELECT generate_series(1, 200000)")) { long n = 0; while (r.next()) n += r.getInt(1); same(n, 20000100000L); }
        });
        run("notices", c -> {
            try (Statement s = c.createStatement()) {
                s.execute("DO $$ BEGIN RAISE WARNING 'uh'; END $$");
                same(s.getWarnings().getMessage(), "uh");
            }
        });
        run("call", c -> {
            exec(c, "CREATE OR REPLACE FUNCTION pg_temp.twice(a int, OUT b int) AS 'SELECT a * 2' LANGUAGE sql");
            try (CallableStatement s = c.prepareCall("{call pg_temp.twice(?, ?)}")) {
                s.setInt(1, 21); s.registerOutParameter(2, Types.INTEGER); s.execute(); same(s.getInt(2), 42);
            }
        });
    }
}
