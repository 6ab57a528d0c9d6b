CREATE TABLE `about` (
  `schema_version` int(11) NOT NULL,
  `key_salt` varchar(64) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;
INSERT INTO `about` VALUES
(1,'a4327d337a46f6c86212fd638acc354f');
CREATE TABLE `account` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `username` varchar(255) NOT NULL,
  `key_hash` varchar(255) NOT NULL,
  `key_tag` int(11) DEFAULT NULL,
  `profile` varchar(32) DEFAULT NULL,
  `timezone` varchar(64) NOT NULL,
  `bounce_list_id` int(11) NOT NULL,
  `is_reseller` tinyint(1) NOT NULL,
  `reseller_id` int(11) DEFAULT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `accountrow_username` (`username`),
  KEY `accountrow_key_tag` (`key_tag`),
  KEY `accountrow_bounce_list_id` (`bounce_list_id`),
  KEY `accountrow_reseller_id` (`reseller_id`),
  CONSTRAINT `account_ibfk_1` FOREIGN KEY (`bounce_list_id`) REFERENCES `bounce_list` (`id`),
  CONSTRAINT `account_ibfk_2` FOREIGN KEY (`reseller_id`) REFERENCES `account` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB AUTO_INCREMENT=3 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;
INSERT INTO `account` VALUES
(1,'mailgun','scrypt:128:8:1$CiJ8meEHaj1Y7SyU$ae13275466e32bf50c838be34dc1a36f4591a7413e985367c2e8efd47d5bdb02dd5432dc1944f919203abf8274812b5a1a668a93af4654fc83688c0e32f20da8',26948,NULL,'UTC',1,0,NULL),
(2,'another','scrypt:128:8:1$SFwWyJ4FB3xLF5Vk$9e93e439236ea38a92f36ce78c4165e4824069b4be68be2caa31b08c41bb2abb414a99c069756cb57ea04b62a51b2df5468052ad87ab043342a97deb7caeffca',56223,NULL,'UTC',6,0,NULL);
CREATE TABLE `bounce` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `bounce_list_id` int(11) NOT NULL,
  `key` varchar(640) NOT NULL,
  `email` varchar(320) NOT NULL,
  `status` varchar(32) NOT NULL,
  `code` varchar(32) NOT NULL,
  `reason` mediumtext NOT NULL,
  `type` smallint(6) NOT NULL,
  `created` bigint(20) NOT NULL,
  `reported` tinyint(1) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `bouncerow_bounce_list_id_key` (`bounce_list_id`,`key`),
  KEY `bouncerow_bounce_list_id_created_id_type` (`bounce_list_id`,`created`,`id`,`type`),
  CONSTRAINT `bounce_ibfk_1` FOREIGN KEY (`bounce_list_id`) REFERENCES `bounce_list` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB AUTO_INCREMENT=12 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;
INSERT INTO `bounce` VALUES
(1,1,'own@example.com','own@example.com','5.1.1','554','554 5.7.1 no',5,1328054400,0),
(2,2,'ev@mgrules.com','ev@mgrules.com','550','550','',5,1329304591,0),
(3,2,'void@guillaumeleveque.info','void@guillaumeleveque.info','550','550','5.1.1 <void@guillaumeleveque.info>: Recipient address rejected: User unknown in virtual mailbox table',5,1328477786,1),
(4,2,'mastronardif@gmail.net','mastronardif@gmail.net','550','550','5.1.1 <mastronardif@gmail.net>: Recipient address rejected: User unknown in virtual alias table',5,1326083382,1),
(5,2,'\'serobnic@mail.ru','\'serobnic@mail.ru','550','550','Message was not accepted -- invalid mailbox. Local mailbox \'serobnic@mail.ru is unavailable: user not found',5,1319194975,1),
(6,3,'\'baz@example.com','\'baz@example.com','550','550','Message was not accepted -- invalid mailbox.  Local mailbox \'baz@example.com is unavailable: user not found',5,1319194975,1),
(7,4,'seed@example.com','seed@example.com','777','777','a&b <c> é☃',0,1329303600,0),
(8,4,'seed2@example.com','seed2@example.com','550','550','',5,1329303600,0),
(9,4,'seed1@example.com','Seed1@Example.com','550','550','',5,1329303600,0),
(10,4,'other+tag@example.com','other+tag@example.com','550','550','',5,1329303600,0),
(11,4,'a/b@example.com','a/b@example.com','550','550','',5,1329303600,0);
CREATE TABLE `bounce_list` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB AUTO_INCREMENT=8 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;
INSERT INTO `bounce_list` VALUES
(1),
(2),
(3),
(4),
(5),
(6),
(7);
CREATE TABLE `domain` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `name` varchar(255) NOT NULL,
  `account_id` int(11) NOT NULL,
  `bounce_list_id` int(11) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `domainrow_name` (`name`),
  KEY `domainrow_account_id` (`account_id`),
  KEY `domainrow_bounce_list_id` (`bounce_list_id`),
  CONSTRAINT `domain_ibfk_1` FOREIGN KEY (`account_id`) REFERENCES `account` (`id`) ON DELETE CASCADE,
  CONSTRAINT `domain_ibfk_2` FOREIGN KEY (`bounce_list_id`) REFERENCES `bounce_list` (`id`)
) ENGINE=InnoDB AUTO_INCREMENT=8 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin;
INSERT INTO `domain` VALUES
(1,'samples.mailgun.org',1,2),
(2,'one.example.com',1,3),
(3,'pages.example.com',1,4),
(4,'empty.example.com',1,5),
(5,'shared.example.com',1,1),
(6,'shared2.example.com',1,1),
(7,'another.example.com',2,7);
