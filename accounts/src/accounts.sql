-- The users of MySQL and what each may do: its own work and no more. The program beside this file puts passwords in for {{name}}.
-- mysqld reads it with --init-file at every start, so each statement can be repeated, and stands on one line.
CREATE DATABASE IF NOT EXISTS ims CHARACTER SET utf8mb4;

-- Everybody begins without rights: one that is no longer in this file is not kept from an earlier version. A user that goes
-- from this file is dropped in it.
CREATE USER IF NOT EXISTS 'migrate'@'%', 'backup'@'%', 'consumer_two'@'%', 'consumer_three'@'%', 'consumer_four'@'%';
REVOKE ALL PRIVILEGES, GRANT OPTION FROM 'migrate'@'%', 'backup'@'%', 'consumer_two'@'%', 'consumer_three'@'%', 'consumer_four'@'%';

ALTER USER 'migrate'@'%' IDENTIFIED BY '{{migrate}}';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, DROP, LOCK TABLES ON ims.* TO 'migrate'@'%';

ALTER USER 'backup'@'%' IDENTIFIED BY '{{backup}}';
GRANT SELECT ON ims.* TO 'backup'@'%';

ALTER USER 'consumer_two'@'%' IDENTIFIED BY '{{consumer_two}}';
ALTER USER 'consumer_three'@'%' IDENTIFIED BY '{{consumer_three}}';
ALTER USER 'consumer_four'@'%' IDENTIFIED BY '{{consumer_four}}';

-- The tables are made by the migration, later: MySQL takes a grant for a table to come only together with CREATE, which is taken back.
GRANT CREATE, SELECT, INSERT ON ims.inventory TO 'consumer_two'@'%';
GRANT CREATE, SELECT, INSERT, DELETE ON ims.inbox TO 'consumer_two'@'%';
GRANT CREATE, SELECT ON ims.migrations TO 'consumer_two'@'%';
GRANT CREATE, SELECT, DELETE ON ims.inventory TO 'consumer_three'@'%';
GRANT CREATE, SELECT, INSERT, DELETE ON ims.inbox TO 'consumer_three'@'%';
GRANT CREATE, SELECT ON ims.migrations TO 'consumer_three'@'%';
GRANT CREATE, SELECT ON ims.inventory TO 'consumer_four'@'%';
GRANT CREATE, SELECT ON ims.migrations TO 'consumer_four'@'%';
REVOKE CREATE ON ims.inventory FROM 'consumer_two'@'%', 'consumer_three'@'%', 'consumer_four'@'%';
REVOKE CREATE ON ims.inbox FROM 'consumer_two'@'%', 'consumer_three'@'%';
REVOKE CREATE ON ims.migrations FROM 'consumer_two'@'%', 'consumer_three'@'%', 'consumer_four'@'%';
