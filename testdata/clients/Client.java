// A real application's moves, with the PostgreSQL JDBC driver; the URL is the first argument:
//
//   java -cp postgresql.jar testdata/clients/Client.java 'jdbc:postgresql://127.0.0.1:5432/postgres?user=postgres&password=...'
import java.io.StringReader;
import java.io.StringWriter;
import java.sql.*;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;

public class Client {
    public static void main(String[] args) throws Exception {
        try (Connection c = DriverManager.getConnection(args[0])) {
            c.setAutoCommit(false);
            for (String migration : new String[] {
                "CREATE TABLE java_user (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text UNIQUE NOT NULL)",
                "ALTER TABLE java_user ADD COLUMN born date, ADD CHECK (email <> '')",
                "CREATE FUNCTION java_users() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM java_user'",
            }) {
                try (Statement s = c.createStatement()) {
                    s.execute(migration);
                }
                c.commit();
            }
            // Prepared by the server from the fifth on.
            try (PreparedStatement p = c.prepareStatement("INSERT INTO java_user (email, born) VALUES (?, ?)", Statement.RETURN_GENERATED_KEYS)) {
                for (int i = 0; i < 20; i++) {
                    p.setString(1, "u" + i + "@x");
                    p.setDate(2, Date.valueOf("2000-01-02"));
                    p.executeUpdate();
                    try (ResultSet keys = p.getGeneratedKeys()) {
                        check(keys.next() && keys.getLong(1) == i + 1, "a generated key");
                    }
                }
                for (int i = 0; i < 500; i++) {
                    p.setString(1, "batch" + i + "@x");
                    p.setNull(2, Types.DATE);
                    p.addBatch();
                }
                check(p.executeBatch().length == 500, "a batch");
            }
            c.commit();
            try (Statement s = c.createStatement()) {
                Savepoint point = c.setSavepoint();
                try {
                    s.executeUpdate("INSERT INTO java_user (email) VALUES ('u1@x')");
                    check(false, "a duplicate got in");
                } catch (SQLException e) {
                    check("23505".equals(e.getSQLState()), e.toString());
                }
                c.rollback(point);
                s.executeUpdate("INSERT INTO java_user (email) VALUES ('after@x')");
                c.rollback();
            }
            CopyManager copy = c.unwrap(PGConnection.class).getCopyAPI();
            StringBuilder rows = new StringBuilder();
            for (int i = 0; i < 1000; i++) {
                rows.append("copied").append(i).append("@x\n");
            }
            check(copy.copyIn("COPY java_user (email) FROM STDIN", new StringReader(rows.toString())) == 1000, "COPY in");
            c.commit();
            StringWriter out = new StringWriter();
            check(copy.copyOut("COPY (SELECT email FROM java_user) TO STDOUT", out) == 1520, "COPY out");
            try (Statement s = c.createStatement()) { // a cursor, in portions
                s.setFetchSize(100);
                int n = 0;
                try (ResultSet r = s.executeQuery("SELECT id, email, born FROM java_user ORDER BY id")) {
                    while (r.next()) {
                        n++;
                    }
                }
                check(n == 1520, n + " rows");
                c.commit();
                s.setQueryTimeout(1);
                try {
                    s.execute("SELECT pg_sleep(60)");
                    check(false, "no timeout");
                } catch (SQLException e) {
                    check("57014".equals(e.getSQLState()), e.toString());
                }
                c.rollback();
            }
            check(c.getMetaData().getColumns(null, "public", "java_user", "%").next(), "metadata");
            try (ResultSet r = c.createStatement().executeQuery("SELECT java_users()")) {
                check(r.next() && r.getLong(1) == 1520, "the count");
            }
            System.out.println("JDBC " + c.getMetaData().getDriverVersion() + " " + c.getMetaData().getDatabaseProductVersion());
        }
    }

    static void check(boolean ok, String what) {
        if (!ok) {
            throw new AssertionError(what);
        }
    }
}
